// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/lru_scan.hpp"

#include "rmap/mm/page_writeback.hpp"
#include "rmap/reclaim/pageout.hpp"
#include "rmap/unmap/page_referenced.hpp"

namespace mmusim::rmap {

namespace {

constexpr LruList inactive_of(LruList active) {
    return static_cast<LruList>(static_cast<unsigned>(active) - 1);
}

/// isolate_lru_pages(): from the tail; the list keeps their order. lru_lock held.
void isolate_lru_pages(Cpu& cpu, KernelState& kernel, const LruScan& scan, PageList& dst) {
    PageList& src = kernel.lru.lruvec(scan.nid, scan.memcg).list(scan.list);
    PageList busy;
    for (std::uint64_t i = 0; i < scan.nr_to_scan && !src.empty(); ++i) {
        Page& page = src.tail();
        // Somebody who dropped the last reference is waiting for the lru_lock to take it off.
        if (!page.get_unless_zero(cpu)) {
            src.remove(page);
            busy.add_head(page);
            continue;
        }
        kernel.lru.del_page_from_lru_list(cpu, page);
        dst.add_head(page);
    }
    while (!busy.empty()) {
        Page& page = busy.tail();
        busy.remove(page);
        src.add_head(page);
    }
}

void isolate(Cpu& cpu, KernelState& kernel, const LruScan& scan, PageList& dst) {
    const InterruptsOff irq(cpu.time());
    kernel.lru.lru_lock(scan.nid).lock(cpu);
    isolate_lru_pages(cpu, kernel, scan, dst);
    kernel.lru.lru_lock(scan.nid).unlock(cpu);
}

/// The common part of putback_inactive_pages() and move_active_pages_to_lru(): back to the list
/// that the flags name, from the tail on. Those that nobody else uses any more stay in `pages`.
/// lru_lock held.
void put_back(Cpu& cpu, KernelState& kernel, PageList& pages) {
    PageList unused;
    while (!pages.empty()) {
        Page& page = pages.tail();
        pages.remove(page);
        kernel.lru.add_page_to_lru_list(cpu, page);
        if (page.add_refcount(cpu, -1) > 0) continue;
        kernel.lru.del_page_from_lru_list(cpu, page);
        unused.add_head(page);
    }
    while (!unused.empty()) {
        Page& page = unused.head();
        unused.remove(page);
        pages.add_tail(page);
    }
}

/// Moves the pages that were mlocked while they were isolated to `unevictable`. lru_lock held.
void cull_unevictable_pages(Cpu& cpu, PageList& pages, PageList& unevictable) {
    for (Page* page = pages.empty() ? nullptr : &pages.head(); page;) {
        Page& candidate = *page;
        page = PageList::next(candidate);
        if (page_evictable(cpu, candidate)) continue;
        pages.remove(candidate);
        unevictable.add_head(candidate);
    }
}

/// putback_inactive_pages(). Those that nobody else uses any more stay in `pages`.
void putback_inactive_pages(Cpu& cpu, KernelState& kernel, NodeId nid, PageList& pages) {
    PageList unevictable;
    {
        const InterruptsOff irq(cpu.time());
        kernel.lru.lru_lock(nid).lock(cpu);
        cull_unevictable_pages(cpu, pages, unevictable);
        put_back(cpu, kernel, pages);
        kernel.lru.lru_lock(nid).unlock(cpu);
    }
    while (!unevictable.empty()) {
        Page& page = unevictable.head();
        unevictable.remove(page);
        putback_lru_page(cpu, kernel, page);
    }
}

}  // namespace

std::uint64_t lru_size(Cpu& cpu, KernelState& kernel, NodeId nid, unsigned memcg, LruList list) {
    const InterruptsOff irq(cpu.time());
    kernel.lru.lru_lock(nid).lock(cpu);
    const std::uint64_t size = kernel.lru.size(nid, memcg, list);
    kernel.lru.lru_lock(nid).unlock(cpu);
    return size;
}

bool inactive_list_is_low(Cpu& cpu, KernelState& kernel, NodeId nid, unsigned memcg,
                          LruList active) {
    // int_sqrt(10 * gigabytes of both lists), or 1 below a gigabyte.
    const InterruptsOff irq(cpu.time());
    kernel.lru.lru_lock(nid).lock(cpu);
    const std::uint64_t inactive_size = kernel.lru.size(nid, memcg, inactive_of(active));
    const std::uint64_t active_size = kernel.lru.size(nid, memcg, active);
    kernel.lru.lru_lock(nid).unlock(cpu);
    const std::uint64_t gigabytes = (inactive_size + active_size) >> (30 - kPageShift);
    std::uint64_t ratio = 1;
    while ((ratio + 1) * (ratio + 1) <= 10 * gigabytes) ++ratio;
    return inactive_size * ratio < active_size;
}

void shrink_active_list(Cpu& cpu, KernelState& kernel, const LruScan& scan) {
    PageList l_hold;
    end_finished_writes(cpu, kernel);
    lru_add_drain(cpu, kernel);
    isolate(cpu, kernel, scan, l_hold);
    const std::uint64_t nr_taken = l_hold.size();
    std::uint64_t nr_rotated = 0;
    PageList l_active;
    PageList l_inactive;
    while (!l_hold.empty()) {
        Page& page = l_hold.tail();
        l_hold.remove(page);
        if (!page_evictable(cpu, page)) {
            putback_lru_page(cpu, kernel, page);
            continue;
        }
        const PageReferenced referenced =
            page_referenced(cpu, kernel, page, PageLocked::kNo, scan.target_mem_cgroup);
        if (referenced.vmas > 0) {
            ++nr_rotated;
            if ((referenced.vm_flags & VmFlags::kExec) && is_file_lru(scan.list)) {
                l_active.add_head(page);
                continue;
            }
        }
        page.clear(cpu, PageFlag::kActive, Part::kLru);
        l_inactive.add_head(page);
    }
    const std::uint64_t nr_active = l_active.size();
    const std::uint64_t nr_deactivated = l_inactive.size();
    {
        const InterruptsOff irq(cpu.time());
        kernel.lru.lru_lock(scan.nid).lock(cpu);
        put_back(cpu, kernel, l_active);
        put_back(cpu, kernel, l_inactive);
        kernel.lru.lru_lock(scan.nid).unlock(cpu);
    }
    while (!l_inactive.empty()) {
        Page& page = l_inactive.head();
        l_inactive.remove(page);
        l_active.add_tail(page);
    }
    kernel.pages.free_unref_page_list(cpu, l_active);
    kernel.reclaim_stats[cpu.id()].deactivated += nr_deactivated;
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgDeactivate, nr_deactivated);
    cpu.emit(Event::kShrinkActive, {scan.nid, nr_taken, nr_active, nr_deactivated, nr_rotated,
                                    scan.priority, ReclaimWriteback::of(is_file_lru(scan.list))});
}

LruScanResult shrink_inactive_list(Cpu& cpu, KernelState& kernel, const LruScan& scan) {
    PageList page_list;
    end_finished_writes(cpu, kernel);
    lru_add_drain(cpu, kernel);
    isolate(cpu, kernel, scan, page_list);
    LruScanResult result{page_list.size(), 0, {}};
    if (page_list.empty()) return result;

    ReclaimStat& stat = result.stat;
    const PageListScan how{scan.nid, scan.target_mem_cgroup, scan.reclaimer};
    result.reclaimed = shrink_page_list(cpu, kernel, page_list, how, stat);
    putback_inactive_pages(cpu, kernel, scan.nid, page_list);
    kernel.pages.free_unref_page_list(cpu, page_list);

    ReclaimStats& stats = kernel.reclaim_stats[cpu.id()];
    stats.scanned += result.taken;
    stats.reclaimed += result.reclaimed;
    stats.activated += stat.nr_activate;
    stats.unmap_failed += stat.nr_unmap_fail;
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgScan, result.taken);
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgSteal, result.reclaimed);
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgActivate, stat.nr_activate);
    cpu.emit(Event::kShrinkInactive,
             {scan.nid, result.taken, result.reclaimed, stat.nr_dirty, stat.nr_writeback,
              stat.nr_congested, stat.nr_immediate, stat.nr_activate, stat.nr_ref_keep,
              stat.nr_unmap_fail, scan.priority, ReclaimWriteback::of(is_file_lru(scan.list))});
    return result;
}

}  // namespace mmusim::rmap
