// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "platform/conform/bindings.hpp"
#include "platform/conform/inputs.hpp"
#include "platform/conform/lockstep.hpp"
#include "rmap/kernel.hpp"
#include "rmap/reclaim/lru_scan.hpp"

namespace mmusim::platform {

/// The reclaimer of a capture: who writes to a group's memory.force_empty. Which pages each list
/// held, in which order, and how far it was scanned is given; what becomes of the pages, and how
/// often it tries, is our kernel's business.
class ReclaimLists {
public:
    ReclaimLists(Script& script, Lockstep& lockstep, Bindings& bindings, rmap::Kernel& kernel,
                 Inputs& inputs, unsigned memcg)
        : script_(script),
          lockstep_(lockstep),
          bindings_(bindings),
          kernel_(kernel),
          inputs_(inputs),
          memcg_(memcg) {}

    /// mem_cgroup_force_empty(). Something stays charged to the group for ever (memory of the
    /// kernel), so it ends when it has often enough freed nothing.
    void force_empty(rmap::Cpu& cpu);

private:
    using Frames = std::vector<std::uint64_t>;

    Frames pages_until(rmap::CpuId cpu, const std::string& end, std::uint64_t locked) const;
    std::uint64_t ours_of(rmap::Cpu& cpu, std::uint64_t theirs);
    void settle(rmap::Cpu& cpu);
    bool place(rmap::Cpu& cpu, const Frames& theirs, bool active);
    void set_dirty_metadata(rmap::Cpu& cpu, const Frames& theirs);
    void shrink_active(rmap::Cpu& cpu);
    void shrink_inactive(rmap::Cpu& cpu);
    void try_to_free_pages(rmap::Cpu& cpu);
    void shrink_lists(rmap::Cpu& cpu);
    void read_priority(rmap::CpuId cpu, const std::string& end);

    Script& script_;
    Lockstep& lockstep_;
    Bindings& bindings_;
    rmap::Kernel& kernel_;
    Inputs& inputs_;
    const unsigned memcg_;
    std::uint64_t reclaimed_ = 0;
    rmap::LruScan scan_;
};

}  // namespace mmusim::platform
