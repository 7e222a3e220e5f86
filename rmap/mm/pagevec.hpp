// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "rmap/mm/page.hpp"
#include "rmap/sync/lock.hpp"

namespace mmusim::rmap {

struct KernelState;
struct Vma;

inline constexpr std::size_t kPagevecSize = 15;  // PAGEVEC_SIZE

/// struct pagevec: up to PAGEVEC_SIZE pages that are handled together, each with a reference.
struct Pagevec {
    std::vector<Page*> pages;
    bool percpu_pvec_drained = false;  ///< by pagevec_release(), which does so once

    bool full() const { return pages.size() >= kPagevecSize; }
};

/// The pagevecs of one CPU in front of the LRU lists (the per-CPU variables of mm/swap.c). What is
/// in one of them has a reference more until it is full or drained. In v5.0 only their CPU touches
/// them, with preemption off; drains for another CPU are done by a worker of that CPU. Here whoever
/// drains does it, under the lock.
struct LruPagevecs {
    explicit LruPagevecs(PhysAddr word) : lock(word) {}

    Lock lock;
    Pagevec lru_add;        ///< lru_add_pvec: new pages, and pages that were isolated
    Pagevec lru_rotate;     ///< lru_rotate_pvecs: written pages, to the tail
    Pagevec lru_lazyfree;   ///< lru_lazyfree_pvecs: MADV_FREE
    Pagevec activate_page;  ///< activate_page_pvecs: to the active list
};

// Time passes in all that follows: Part::kLru. No lru_lock and no zone lock may be held.

/// lru_cache_add(): the page will go to the head of the list that its flags name, or of the
/// unevictable list.
void lru_cache_add(Cpu& cpu, KernelState& kernel, Page& page);
/// lru_cache_add_active_or_unevictable(): a new page of a VMA, whose mmap_sem is held. In a
/// VM_LOCKED one it is mlocked from the start.
void lru_cache_add_active_or_unevictable(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma);
/// activate_page(): from the inactive list to the head of the active one. Nothing happens to a page
/// that is on no list yet, active already, or unevictable.
void activate_page(Cpu& cpu, KernelState& kernel, Page& page);
/// mark_page_accessed(): the second reference to a page activates it.
void mark_page_accessed(Cpu& cpu, KernelState& kernel, Page& page);
/// mark_page_lazyfree(): MADV_FREE has found the page clean. It will lose PG_swapbacked and go to
/// the inactive file list, to be dropped unless somebody writes to it before. Nothing happens to a
/// page that is on no list, mlocked, in the swap cache, or lazyfree already.
void mark_page_lazyfree(Cpu& cpu, KernelState& kernel, Page& page);
/// rotate_reclaimable_page(): a page that reclaim had to write is clean now and goes to the tail,
/// where it is reclaimed next; unless somebody has locked, dirtied or isolated it.
void rotate_reclaimable_page(Cpu& cpu, KernelState& kernel, Page& page);

/// putback_lru_page(): an isolated page returns to the list it belongs to, without the reference of
/// its isolation.
void putback_lru_page(Cpu& cpu, KernelState& kernel, Page& page);

/// lru_add_drain(): empties the pagevecs of this CPU.
void lru_add_drain(Cpu& cpu, KernelState& kernel);
/// lru_add_drain_cpu(): of any CPU, for lru_add_drain_all() and set-up.
void lru_add_drain_cpu(Cpu& cpu, KernelState& kernel, CpuId whose);
/// lru_add_drain_all()
void lru_add_drain_all(Cpu& cpu, KernelState& kernel);

/// __pagevec_lru_add(): the pages go to their lists, and each loses a reference.
void pagevec_lru_add(Cpu& cpu, KernelState& kernel, Pagevec& pvec);
/// pagevec_release(): drops the references, and empties the pagevec.
void pagevec_release(Cpu& cpu, KernelState& kernel, Pagevec& pvec);

}  // namespace mmusim::rmap
