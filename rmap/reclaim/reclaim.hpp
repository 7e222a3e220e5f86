// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/reclaim/shrink_page_list.hpp"

namespace mmusim::rmap {

/// Whether reclaim may take pages from the active lists by aging them first.
enum class Aging { kAllowed, kForbidden };
enum class ReclaimFrom { kAnon, kFile, kBoth };

/// What one call is to reclaim.
struct ReclaimControl {
    NodeId nid = 0;
    std::optional<unsigned> memcg;  ///< ScanControl::target_mem_cgroup
    ReclaimFrom from = ReclaimFrom::kBoth;
    std::uint64_t nr_to_reclaim = ~std::uint64_t{0};  ///< stops when so many are free
    /// Pages that are scanned on the inactive lists before it gives up.
    std::uint64_t nr_to_scan = ~std::uint64_t{0};
    Aging aging = Aging::kAllowed;
    Reclaimer reclaimer = Reclaimer::kDirect;
};

struct ReclaimResult {
    std::uint64_t scanned = 0;
    std::uint64_t reclaimed = 0;
};

/// The loop of do_try_to_free_pages() and of kswapd's balance_pgdat(): shrinks the node with
/// falling priority, 13 times (DEF_PRIORITY + 1), until it has enough or nothing is left. A task
/// runs on the CPU; its flush batch is empty before and after. One reclaim operation. Time passes.
/// Does not model: get_scan_count()'s shares. In v5.0 a round scans size >> priority pages of each
/// list, divided between anonymous pages and files by swappiness and by how many were rotated, and
/// a round that has enough still scans the other kind in proportion; here a round scans every list
/// as far as it reached when the round began, in turns of SWAP_CLUSTER_MAX, and stops when it has
/// enough. Nor throttling, slabs, and what vmpressure tells.
ReclaimResult reclaim_pages(Cpu& cpu, KernelState& kernel, const ReclaimControl& control);

}  // namespace mmusim::rmap
