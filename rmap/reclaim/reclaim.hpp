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

/// struct scan_control: what one call is to reclaim.
struct ReclaimControl {
    NodeId nid = 0;
    /// Reclaim of one memory control group: only its pages are scanned, only accesses by its
    /// processes count. None: all pages of the node.
    std::optional<unsigned> memcg;
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

/// One pass of the reclaimer (shrink_node()). Scans the lists in turn, in pieces of
/// SWAP_CLUSTER_MAX pages, until it has enough, nothing is left, or every list was gone through 13
/// times (DEF_PRIORITY + 1). A task runs on the CPU; its flush batch is empty before and after. One
/// reclaim operation. Time passes.
/// Does not model: the share of the lists that a priority scans, swappiness, throttling.
ReclaimResult shrink_node(Cpu& cpu, KernelState& kernel, const ReclaimControl& control);

}  // namespace mmusim::rmap
