// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "rmap/mm/mm.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// add_mm_counter(): changes the shared counter at once. Any lock or none.
void add_mm_counter(Cpu& cpu, const Mm& mm, MmCounter counter, std::int64_t delta);

/// add_mm_counter_fast(): what a page fault counts goes to the task's own cache, if the fault is
/// in the task's mm.
void add_mm_counter_fast(Cpu& cpu, const Mm& mm, MmCounter counter, std::int64_t delta);

/// sync_mm_rss(): folds what the task that runs here has counted for itself into its mm.
void sync_mm_rss(Cpu& cpu, const Mm& mm);

/// check_sync_rss_stat(): folds the cache into the mm every 64 faults.
void check_sync_rss_stat(Cpu& cpu);

using MmCounterVector = std::array<std::int64_t, kMmCounters>;
/// add_mm_rss_vec(): folds the task's cache as well.
void add_mm_rss_vec(Cpu& cpu, const Mm& mm, const MmCounterVector& rss);

/// mm_counter(): the counter that the page is counted in.
MmCounter mm_counter(Cpu& cpu, const Page& page);

/// get_mm_counter(): sums may be negative for a moment, readers see 0.
std::uint64_t get_mm_counter(Cpu& cpu, const Mm& mm, MmCounter counter);
/// get_mm_rss(): resident pages.
std::uint64_t get_mm_rss(Cpu& cpu, const Mm& mm);

/// update_hiwater_rss(): called just before the counters fall. Without a lock, so that of two
/// concurrent updates one may get lost.
void update_hiwater_rss(Cpu& cpu, const Mm& mm);

}  // namespace mmusim::rmap
