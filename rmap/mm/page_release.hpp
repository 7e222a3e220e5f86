// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

struct KernelState;

inline bool page_mapped(Cpu& cpu, const Page& page) { return page.mapcount(cpu) > 0; }
inline bool page_is_anon(Cpu& cpu, const Page& page) { return page.mapping(cpu).anon(); }

inline void lock_page(Cpu& cpu, Page& page) { page.lock.lock(cpu); }
inline bool trylock_page(Cpu& cpu, Page& page) { return page.lock.try_lock(cpu); }
inline void unlock_page(Cpu& cpu, Page& page) { page.lock.unlock(cpu); }

/// PageLocked(), of somebody's page.
inline bool page_locked(Cpu& cpu, const Page& page) {
    return cpu.memory().load(page.lock.word(), Part::kPageState).value != 0;
}

/// wait_on_page_locked(): the event is the moment at which the task runs again.
inline void wait_on_page_locked(Cpu& cpu, Page& page) {
    if (!page_locked(cpu, page)) return;
    page.lock.wait_unlocked(cpu);
    cpu.emit(Event::kWaitOnPageBitRet, {page.pfn().value});
}

inline void get_page(Cpu& cpu, Page& page) { page.add_refcount(cpu, 1); }

/// put_page(): drops a reference; the last one returns the page to the allocator.
void put_page(Cpu& cpu, KernelState& kernel, Page& page);

/// __put_page(): a page whose last reference is gone leaves its LRU list and returns to the
/// allocator.
void free_page(Cpu& cpu, KernelState& kernel, Page& page);

/// release_pages(): drops a reference to each page in order; those that were the last are freed
/// together, in reverse order.
void release_pages(Cpu& cpu, KernelState& kernel, const std::vector<Page*>& pages);

/// set_page_dirty(): reclaim no longer waits for the page if it is one of a file or of the swap
/// cache.
void set_page_dirty(Cpu& cpu, KernelState& kernel, Page& page);

}  // namespace mmusim::rmap
