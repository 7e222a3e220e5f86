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
    /// One list, as the capture shows it.
    struct List {
        bool active = false;
        bool file = false;
        rmap::NodeId nid = 0;
        unsigned priority = 0;
        std::uint64_t length = 0;  ///< pages that were taken
        std::vector<std::uint64_t>
            seen;  ///< of these, those that page_referenced() was asked about
        std::uint64_t dirty = 0;
        std::uint64_t waited_for = 0;  ///< until they were written
    };
    using Pages = std::vector<rmap::Page*>;

    List read_list(rmap::CpuId cpu, bool active) const;
    rmap::Page* ours_of(rmap::Cpu& cpu, std::uint64_t theirs);
    bool is_of(rmap::Cpu& cpu, const List& list, const rmap::Page& page) const;
    Pages pages_of(rmap::Cpu& cpu, const List& list);
    void end_writes(rmap::Cpu& cpu, const List& list, const Pages& seen);
    bool is_passed_over(rmap::Cpu& cpu, const List& list, const rmap::Page& page);
    Pages with_unseen(rmap::Cpu& cpu, const List& list, const Pages& seen);
    Pages place(rmap::Cpu& cpu, const List& list);
    void set_dirty_metadata(rmap::Cpu& cpu, const List& list, const Pages& pages);
    void shrink_active(rmap::Cpu& cpu);
    void shrink_inactive(rmap::Cpu& cpu);
    void try_to_free_pages(rmap::Cpu& cpu);
    void shrink_lists(rmap::Cpu& cpu);

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
