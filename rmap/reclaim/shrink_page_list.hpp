// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// Who reclaims (current_is_kswapd()).
enum class Reclaimer {
    kDirect,  ///< a task that needs memory, or the limit of a memory control group
    kKswapd,  ///< the node's own thread: only it writes pages of files, when there are too many
};

/// struct scan_control: what all who work on one reclaim know of it.
struct ScanControl {
    NodeId nid = 0;
    /// Reclaim of one memory control group: only its pages are scanned, only accesses by its
    /// processes count. None: all pages of the node.
    std::optional<unsigned> target_mem_cgroup;
    Reclaimer reclaimer = Reclaimer::kDirect;
    unsigned priority = 0;  ///< falls from DEF_PRIORITY to 0 as it gets more difficult
};

/// struct reclaim_stat: what became of one list. Dirty pages and pages under write-back are those
/// of files.
struct ReclaimStat {
    std::uint64_t nr_dirty = 0;
    std::uint64_t nr_unqueued_dirty = 0;  ///< dirty and not under write-back
    std::uint64_t nr_congested = 0;       ///< under write-back, and reclaim waits for them
    std::uint64_t nr_writeback = 0;       ///< put aside until they are written
    std::uint64_t nr_immediate = 0;       ///< those that kswapd met again before they were
    std::uint64_t nr_activate = 0;
    std::uint64_t nr_ref_keep = 0;
    std::uint64_t nr_unmap_fail = 0;
};

/// shrink_page_list(): reclaims isolated pages from the tail of `page_list` on. Unmapped pages are
/// collected, their TLB entries flushed together at the end, and only then they return to the
/// allocator. What could not be reclaimed is left in `page_list`. Returns the number of pages
/// freed. Waits for pages under write-back if it reclaims a memory control group. One batch
/// operation; one unmap operation per page.
/// Does not model: congestion of the device (a full queue).
std::uint64_t shrink_page_list(Cpu& cpu, KernelState& kernel, PageList& page_list,
                               const ScanControl& sc, ReclaimStat& stat);

}  // namespace mmusim::rmap
