// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// struct reclaim_stat: what became of one list.
struct ReclaimStat {
    std::uint64_t nr_dirty = 0;
    std::uint64_t nr_activate = 0;
    std::uint64_t nr_unmap_fail = 0;
};

/// shrink_page_list(): reclaims isolated pages from the tail of `page_list` on. Unmapped pages are
/// collected, their TLB entries flushed together at the end, and only then they return to the
/// allocator. What could not be reclaimed is left in `page_list`. Returns the number of pages
/// freed. `memcg` restricts whose accesses count. One batch operation; one unmap operation per
/// page.
std::uint64_t shrink_page_list(Cpu& cpu, KernelState& kernel, PageList& page_list,
                               std::optional<unsigned> memcg, ReclaimStat& stat);

}  // namespace mmusim::rmap
