// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "rmap/types/time.hpp"

namespace mmusim::platform {

enum class OracleMode { kOn, kOff };

/// Whether cores use what their first TLBs grant them (DMI): faster, and the same results.
enum class Dmi { kOn, kOff };

/// What the command line adds to a platform and a scenario.
struct RunOptions {
    std::uint64_t seed = 1;
    std::optional<rmap::Duration> quantum;  ///< none: the exact one, computed from the platform
    OracleMode oracle = OracleMode::kOn;
    /// Of each core, every n-th access is compared with an uncached walk; 0: none, as without the
    /// oracle.
    std::uint64_t compare_walks = 64;
    Dmi dmi = Dmi::kOn;
    std::string event_log;  ///< path of the JSONL event log; empty = none
    std::string timeline;   ///< path of the timeline for Perfetto; empty = none
    /// Looked at after every round of an operation; once true the run ends there, with all its
    /// files complete and RunResult::stopped. Null: never.
    const std::atomic<bool>* stop = nullptr;
    /// Called after every round with the rounds done so far and those of the whole scenario.
    std::function<void(std::uint64_t done, std::uint64_t total)> on_round;
};

}  // namespace mmusim::platform
