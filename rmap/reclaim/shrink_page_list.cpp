// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/shrink_page_list.hpp"

#include <vector>

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/reclaim/pageout.hpp"
#include "rmap/unmap/page_referenced.hpp"
#include "rmap/unmap/try_to_unmap.hpp"
#include "rmap/unmap/unmap_flush.hpp"

namespace mmusim::rmap {

namespace {

/// enum page_references
enum class PageReferences { kReclaim, kReclaimClean, kKeep, kActivate };

/// Where shrink_page_list() goes with a page.
enum class Fate {
    kFree,
    kActivateLocked,
    kKeepLocked,
    kKeep,      ///< not locked
    kTryAgain,  ///< not locked
};

PageReferences page_check_references(Cpu& cpu, KernelState& kernel, Page& page,
                                     std::optional<unsigned> memcg) {
    const PageReferenced referenced = page_referenced(cpu, kernel, page, PageLocked::kYes, memcg);
    const bool referenced_page = page.test_and_clear(cpu, PageFlag::kReferenced);
    const bool file = page_is_file_cache(cpu, page);

    // mlock() has lost the race for the page: try_to_unmap() moves it to the unevictable list.
    if (referenced.vm_flags & VmFlags::kLocked) return PageReferences::kReclaim;

    if (referenced.vmas > 0) {
        if (!file) return PageReferences::kActivate;
        // Pages of files get a second chance: most are used once, by one process.
        page.set(cpu, PageFlag::kReferenced);
        if (referenced_page || referenced.vmas > 1) return PageReferences::kActivate;
        if (referenced.vm_flags & VmFlags::kExec) return PageReferences::kActivate;
        return PageReferences::kKeep;
    }
    return referenced_page && file ? PageReferences::kReclaimClean : PageReferences::kReclaim;
}

/// MADV_FREE has been called on it: it may be dropped as long as it is clean.
bool page_is_lazyfree(Cpu& cpu, const Page& page) {
    return page_is_anon(cpu, page) && !page.test(cpu, PageFlag::kSwapBacked);
}

/// A lazyfree page is nobody's any more, if it is still clean.
bool free_lazyfree_page(Cpu& cpu, Page& page) {
    // Of whoever isolated it. As in __remove_mapping(), who sets the dirty bit has another one.
    if (!page.freeze(cpu, 1)) return false;
    if (!page.test(cpu, PageFlag::kDirty)) return true;
    page.set_refcount(cpu, 1);
    return false;
}

void end_unmap_operation(Cpu& cpu, OperationId& id, Outcome outcome) {
    if (!id) return;
    end_operation(cpu, id, OperationKind::kUnmap, outcome, 1);
    id = 0;
}

/// sane_reclaim(): there are dirty limits for what is reclaimed, so reclaim need not throttle who
/// dirties pages. Groups are those of cgroup v1, which have none.
bool sane_reclaim(const ScanControl& sc) { return !sc.target_mem_cgroup; }

/// page_check_dirty_writeback(), and what is counted of it. What goes to swap is written by reclaim
/// itself, so it does not count. Returns whether the page is under write-back.
bool check_dirty_writeback(Cpu& cpu, KernelState& kernel, Page& page, ReclaimStat& stat) {
    const std::uint64_t flags = page.flags(cpu);
    const bool writeback = has(flags, PageFlag::kWriteback) && page_writeback(cpu, kernel, page);
    if (has(flags, PageFlag::kSwapBacked) || page_is_lazyfree(cpu, page)) return writeback;
    const bool dirty = has(flags, PageFlag::kDirty);
    if (dirty || writeback) ++stat.nr_dirty;
    if (dirty && !writeback) ++stat.nr_unqueued_dirty;
    if (writeback && has(flags, PageFlag::kReclaim)) ++stat.nr_congested;
    return writeback;
}

/// A page under write-back.
Fate handle_writeback(Cpu& cpu, KernelState& kernel, Page& page, const ScanControl& sc,
                      ReclaimStat& stat) {
    const bool reclaim = page.test(cpu, PageFlag::kReclaim);
    // Case 1: it came round again before it was written. There are too many of these.
    if (sc.reclaimer == Reclaimer::kKswapd && reclaim &&
        kernel.lru.test_pgdat_flag(cpu, sc.nid, PgdatFlag::kWriteback)) {
        ++stat.nr_immediate;
        return Fate::kActivateLocked;
    }
    // Case 2: reclaimed as soon as it is written.
    if (sane_reclaim(sc) || !reclaim) {
        page.set(cpu, PageFlag::kReclaim);
        ++stat.nr_writeback;
        return Fate::kActivateLocked;
    }
    // Case 3: nothing else slows down who fills the group with dirty pages.
    unlock_page(cpu, page);
    wait_on_page_writeback(cpu, kernel, page);
    return Fate::kTryAgain;
}

/// Whether a dirty page of a file is left to the flusher threads.
bool left_to_flushers(Cpu& cpu, KernelState& kernel, const Page& page, const ScanControl& sc) {
    return page_is_file_cache(cpu, page) &&
           (sc.reclaimer != Reclaimer::kKswapd || !page.test(cpu, PageFlag::kReclaim) ||
            !kernel.lru.test_pgdat_flag(cpu, sc.nid, PgdatFlag::kDirty));
}

/// Its write goes on (a disk), or somebody has stored to it since.
bool dirty_or_writeback(Cpu& cpu, KernelState& kernel, Page& page) {
    const std::uint64_t flags = page.flags(cpu);
    return has(flags, PageFlag::kDirty) ||
           (has(flags, PageFlag::kWriteback) && page_writeback(cpu, kernel, page));
}

/// A dirty page is written out before it can be freed. kFree: it is clean now, and locked.
Fate write_dirty_page(Cpu& cpu, KernelState& kernel, Page& page, const ScanControl& sc,
                      PageReferences references) {
    if (left_to_flushers(cpu, kernel, page, sc)) {
        page.set(cpu, PageFlag::kReclaim);
        return Fate::kActivateLocked;
    }
    if (references == PageReferences::kReclaimClean) return Fate::kKeepLocked;

    // Page is dirty. A stale TLB entry could still be used to write to it during the I/O.
    try_to_unmap_flush_dirty(cpu, kernel);
    switch (pageout(cpu, kernel, page)) {
        case Pageout::kKeep:
            return Fate::kKeepLocked;
        case Pageout::kActivate:
            return Fate::kActivateLocked;
        case Pageout::kClean:
            return Fate::kFree;
        case Pageout::kSuccess:
            break;
    }
    ++kernel.reclaim_stats[cpu.id()].written;
    if (dirty_or_writeback(cpu, kernel, page)) return Fate::kKeep;
    // It was unlocked meanwhile: a fault may have taken it.
    if (!trylock_page(cpu, page)) return Fate::kKeep;
    return dirty_or_writeback(cpu, kernel, page) ? Fate::kKeepLocked : Fate::kFree;
}

/// What shrink_page_list() does with one page once it is locked.
Fate shrink_page(Cpu& cpu, KernelState& kernel, Page& page, const ScanControl& sc,
                 ReclaimStat& stat) {
    if (!page_evictable(cpu, page)) return Fate::kActivateLocked;

    if (check_dirty_writeback(cpu, kernel, page, stat))
        return handle_writeback(cpu, kernel, page, sc, stat);

    const PageReferences references =
        page_check_references(cpu, kernel, page, sc.target_mem_cgroup);
    if (references == PageReferences::kActivate) return Fate::kActivateLocked;
    if (references == PageReferences::kKeep) {
        ++stat.nr_ref_keep;
        return Fate::kKeepLocked;
    }

    if (page_is_anon(cpu, page) && page.test(cpu, PageFlag::kSwapBacked) &&
        !page.test(cpu, PageFlag::kSwapCache) && !add_to_swap(cpu, kernel, page))
        return Fate::kActivateLocked;

    if (page_mapped(cpu, page)) {
        // One operation per page, until its frame is safe to reuse or it is kept.
        page.unmap_operation = begin_operation(cpu, OperationKind::kUnmap, 1);
        if (!try_to_unmap(cpu, kernel, page, TtuFlags::kBatchFlush)) {
            ++stat.nr_unmap_fail;
            return Fate::kActivateLocked;
        }
    }

    if (page.test(cpu, PageFlag::kDirty)) {
        const Fate fate = write_dirty_page(cpu, kernel, page, sc, references);
        if (fate != Fate::kFree) return fate;
    }
    // try_to_release_page(): buffers that can be released are not modelled.
    if (page.test(cpu, PageFlag::kPrivate)) return Fate::kActivateLocked;
    if (page_is_lazyfree(cpu, page)) {
        if (!free_lazyfree_page(cpu, page)) return Fate::kKeepLocked;
        kernel.vm_events.count(cpu, page.memcg, VmEvent::kPgLazyFreed);
        return Fate::kFree;
    }
    AddressSpace* mapping = page_mapping(cpu, kernel, page);
    return mapping && remove_mapping(cpu, kernel, *mapping, page) ? Fate::kFree : Fate::kKeepLocked;
}

/// The label activate_locked. A page that stays does not need its slot when slots are scarce. One
/// that is mlocked never does: it goes to the unevictable list.
void activate_locked(Cpu& cpu, KernelState& kernel, Page& page, ReclaimStat& stat) {
    const bool mlocked = page.test(cpu, PageFlag::kMlocked);
    if (page.test(cpu, PageFlag::kSwapCache) && (mlocked || kernel.swap.vm_swap_full(cpu)))
        try_to_free_swap(cpu, kernel, page);
    if (mlocked) return;
    page.set(cpu, PageFlag::kActive);
    ++stat.nr_activate;
}

/// End of the list: the frames go back once no TLB has them any more.
void flush_and_free(Cpu& cpu, KernelState& kernel, PageList& pages) {
    std::vector<OperationId> unmapped;
    for (Page* page = pages.empty() ? nullptr : &pages.head(); page; page = PageList::next(*page)) {
        unmapped.push_back(page->unmap_operation);
        page->unmap_operation = 0;
    }
    const bool free_first = kernel.config.fault == InjectedFault::kFreeBeforeFlush;
    if (!free_first) try_to_unmap_flush(cpu, kernel);
    kernel.pages.free_unref_page_list(cpu, pages);
    for (OperationId& id : unmapped) end_unmap_operation(cpu, id, Outcome::kDone);
    if (free_first) try_to_unmap_flush(cpu, kernel);
}

}  // namespace

std::uint64_t shrink_page_list(Cpu& cpu, KernelState& kernel, PageList& page_list,
                               const ScanControl& sc, ReclaimStat& stat) {
    const OperationId batch =
        begin_operation(cpu, OperationKind::kShrinkPageList, page_list.size());
    cpu.emit(Event::kShrinkPageList, {page_list.size()});
    PageList ret_pages;
    PageList free_pages;

    while (!page_list.empty()) {
        Page& page = page_list.tail();
        page_list.remove(page);
        cpu.account().begin_page();
        Fate fate = Fate::kKeep;
        if (trylock_page(cpu, page)) fate = shrink_page(cpu, kernel, page, sc, stat);

        if (fate == Fate::kActivateLocked) activate_locked(cpu, kernel, page, stat);
        if (fate != Fate::kKeep && fate != Fate::kTryAgain) unlock_page(cpu, page);
        if (fate == Fate::kTryAgain) {
            page_list.add_tail(page);
        } else if (fate == Fate::kFree) {
            if (page.unmap_operation) cpu.account().linger(page.unmap_operation);
            free_pages.add_head(page);
        } else {
            end_unmap_operation(cpu, page.unmap_operation, Outcome::kAbandoned);
            ret_pages.add_head(page);
        }
        cpu.account().end_page();
    }

    const std::uint64_t nr_reclaimed = free_pages.size();
    flush_and_free(cpu, kernel, free_pages);
    page_list.splice_tail(ret_pages);
    cpu.emit(Event::kShrinkPageListRet, {nr_reclaimed});
    end_operation(cpu, batch, OperationKind::kShrinkPageList, Outcome::kDone, nr_reclaimed);
    return nr_reclaimed;
}

}  // namespace mmusim::rmap
