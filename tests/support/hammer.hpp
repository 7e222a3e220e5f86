// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "platform/run/run.hpp"
#include "rmap/types/time_rule.hpp"

namespace mmusim::test {

/// A machine and a scenario in which reclaimers, migrators and threads of several processes hammer
/// the same pages and lines.
struct Hammer {
    platform::PlatformConfig platform;
    platform::ScenarioConfig scenario;
};

/// Four cores and one reclaimer, unless told otherwise.
Hammer small_hammer(unsigned cores = 4, unsigned initiators = 1);

/// The last `vcpus` threads of process `main` become the vCPUs of a guest that has its memory.
void add_guest(Hammer& hammer, unsigned vcpus);

/// A device behind an IOMMU does DMA in the memory of process `main`.
void add_device(Hammer& hammer);

/// Everything drawn from `seed`: latencies in whole nanoseconds down to 5 ns, so that ties abound,
/// 1 to 4 initiators, lists of 1 to 40 pages, sometimes a guest, a device, an injected fault.
Hammer random_hammer(std::uint64_t seed);

struct HammerOptions {
    std::optional<rmap::Duration> quantum;
    unsigned creation_order = 0;  ///< 0: ascending, 1: descending, 2: shuffled
    rmap::TimeRule broken = rmap::TimeRule::kNone;
    std::string event_log;
};

/// What a run has shown, as text: hashes of the event log, of every core's accesses and of the
/// result, and the counts that bear on them.
struct HammerRun {
    std::string same;        ///< has to be equal in all exact runs
    std::uint64_t late = 0;  ///< effects that came too late
    std::uint64_t violations = 0;
    std::uint64_t accesses = 0;
    std::uint64_t switches = 0;
    std::uint64_t unmaps = 0;
    std::uint64_t guest_accesses = 0;
    std::uint64_t dma_accesses = 0;
    std::string failure;  ///< what a run that broke said; empty = it came to its end
};

/// Runs in a process of its own.
HammerRun run_hammer(const Hammer& hammer, const HammerOptions& options);

}  // namespace mmusim::test
