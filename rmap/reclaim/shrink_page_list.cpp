// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/shrink_page_list.hpp"

#include <vector>

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
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
    kKeep,  ///< not locked
};

bool page_is_file_cache(Cpu& cpu, const Page& page) {
    return !page.test(cpu, PageFlag::kSwapBacked);
}

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

/// page_mapping() is not NULL. It is for a page that a fault has taken out of the swap cache before
/// it was locked here.
bool has_page_mapping(Cpu& cpu, const Page& page) {
    if (page.test(cpu, PageFlag::kSwapCache)) return true;
    const PageMapping mapping = page.mapping(cpu);
    return !mapping.null() && !mapping.anon();
}

/// One operation per page, from here until its frame is safe to reuse or it is kept.
bool unmap_page(Cpu& cpu, KernelState& kernel, Page& page) {
    page.unmap_operation = begin_operation(cpu, OperationKind::kUnmap, 1);
    return try_to_unmap(cpu, kernel, page, TtuFlags::kBatchFlush);
}

void end_unmap_operation(Cpu& cpu, OperationId& id, Outcome outcome) {
    if (!id) return;
    end_operation(cpu, id, OperationKind::kUnmap, outcome, 1);
    id = 0;
}

/// A dirty page is written out before it can be freed. kFree: it is clean now, and locked.
Fate write_dirty_page(Cpu& cpu, KernelState& kernel, Page& page, PageReferences references) {
    if (page_is_file_cache(cpu, page)) {
        // Reclaim leaves the pages of files to the flusher threads, unless it is kswapd and they
        // do not keep up. Marked so that they are reclaimed as soon as they are clean.
        page.set(cpu, PageFlag::kReclaim);
        return Fate::kActivateLocked;
    }
    if (references == PageReferences::kReclaimClean) return Fate::kKeepLocked;

    // Page is dirty. A stale TLB entry could still be used to write to it during the I/O.
    try_to_unmap_flush_dirty(cpu, kernel);
    switch (pageout(cpu, kernel, page)) {
        case Pageout::kKeep:
            return Fate::kKeepLocked;
        case Pageout::kClean:
            return Fate::kFree;
        case Pageout::kSuccess:
            break;
    }
    ++kernel.reclaim_stats[cpu.id()].written;
    // It was unlocked meanwhile: a fault may have taken it.
    if (!trylock_page(cpu, page)) return Fate::kKeep;
    return page.test(cpu, PageFlag::kDirty) ? Fate::kKeepLocked : Fate::kFree;
}

/// What shrink_page_list() does with one page once it is locked.
Fate shrink_page(Cpu& cpu, KernelState& kernel, Page& page, std::optional<unsigned> memcg,
                 ReclaimStat& stat) {
    if (!page_evictable(cpu, page)) return Fate::kActivateLocked;

    // page_check_dirty_writeback(): counts pages of files only.
    if (page_is_file_cache(cpu, page) && !page_is_anon(cpu, page) &&
        page.test(cpu, PageFlag::kDirty))
        ++stat.nr_dirty;

    const PageReferences references = page_check_references(cpu, kernel, page, memcg);
    if (references == PageReferences::kActivate) return Fate::kActivateLocked;
    if (references == PageReferences::kKeep) return Fate::kKeepLocked;

    if (page_is_anon(cpu, page) && page.test(cpu, PageFlag::kSwapBacked) &&
        !page.test(cpu, PageFlag::kSwapCache) && !add_to_swap(cpu, kernel, page))
        return Fate::kActivateLocked;

    if (page_mapped(cpu, page) && !unmap_page(cpu, kernel, page)) {
        ++stat.nr_unmap_fail;
        return Fate::kActivateLocked;
    }

    if (page.test(cpu, PageFlag::kDirty)) {
        const Fate fate = write_dirty_page(cpu, kernel, page, references);
        if (fate != Fate::kFree) return fate;
    }
    if (page_is_lazyfree(cpu, page))
        return free_lazyfree_page(cpu, page) ? Fate::kFree : Fate::kKeepLocked;
    if (!has_page_mapping(cpu, page)) return Fate::kKeepLocked;
    return remove_mapping(cpu, kernel, page) ? Fate::kFree : Fate::kKeepLocked;
}

/// The label activate_locked. A page that is mlocked goes to the unevictable list instead, and
/// needs no swap there.
void activate_locked(Cpu& cpu, KernelState& kernel, Page& page, ReclaimStat& stat) {
    if (page.test(cpu, PageFlag::kMlocked)) {
        if (page.test(cpu, PageFlag::kSwapCache)) try_to_free_swap(cpu, kernel, page);
        return;
    }
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
                               std::optional<unsigned> memcg, ReclaimStat& stat) {
    const OperationId batch =
        begin_operation(cpu, OperationKind::kShrinkPageList, page_list.size());
    cpu.emit(Event::kShrinkPageList, {page_list.size()});
    PageList ret_pages;
    PageList unmapped_pages;

    while (!page_list.empty()) {
        Page& page = page_list.tail();
        page_list.remove(page);
        cpu.account().begin_page();
        Fate fate = Fate::kKeep;
        if (trylock_page(cpu, page)) fate = shrink_page(cpu, kernel, page, memcg, stat);

        if (fate == Fate::kActivateLocked) activate_locked(cpu, kernel, page, stat);
        if (fate != Fate::kKeep) unlock_page(cpu, page);
        if (fate == Fate::kFree) {
            if (page.unmap_operation) cpu.account().linger(page.unmap_operation);
            unmapped_pages.add_head(page);
        } else {
            end_unmap_operation(cpu, page.unmap_operation, Outcome::kAbandoned);
            ret_pages.add_head(page);
        }
        cpu.account().end_page();
    }

    const std::uint64_t nr_reclaimed = unmapped_pages.size();
    flush_and_free(cpu, kernel, unmapped_pages);
    while (!ret_pages.empty()) {
        Page& page = ret_pages.head();
        ret_pages.remove(page);
        page_list.add_tail(page);
    }
    cpu.emit(Event::kShrinkPageListRet, {nr_reclaimed});
    end_operation(cpu, batch, OperationKind::kShrinkPageList, Outcome::kDone, nr_reclaimed);
    return nr_reclaimed;
}

}  // namespace mmusim::rmap
