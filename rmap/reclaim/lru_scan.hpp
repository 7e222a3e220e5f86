// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/reclaim/shrink_page_list.hpp"

namespace mmusim::rmap {

/// What one call to a shrink_*_list() works on.
struct LruScan {
    ScanControl control;
    unsigned memcg = 0;
    LruList list{};
    std::uint64_t nr_to_scan = 0;
};

struct LruScanResult {
    std::uint64_t taken = 0;
    std::uint64_t reclaimed = 0;
    ReclaimStat stat;
};

/// lruvec_lru_size(). Here and in inactive_list_is_low() the lru_lock is taken, which guards the
/// size; v5.0 reads its counters without it, and may see them a little old.
std::uint64_t lruvec_lru_size(Cpu& cpu, KernelState& kernel, NodeId nid, unsigned memcg,
                              LruList list);
/// inactive_list_is_low(): `active` names an active list; its inactive one is the smaller.
bool inactive_list_is_low(Cpu& cpu, KernelState& kernel, NodeId nid, unsigned memcg,
                          LruList active);

/// shrink_active_list(): moves pages from the tail of an active list to the inactive one, asking
/// whether they were accessed. Only executable pages of files may stay for that.
void shrink_active_list(Cpu& cpu, KernelState& kernel, const LruScan& scan);

/// shrink_inactive_list(): isolates pages from the tail of an inactive list, reclaims them, and
/// puts back what is left.
LruScanResult shrink_inactive_list(Cpu& cpu, KernelState& kernel, const LruScan& scan);

}  // namespace mmusim::rmap
