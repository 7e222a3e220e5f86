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
    PageList& src = kernel.lru.lruvec(scan.control.nid, scan.memcg).list(scan.list);
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
    busy.splice_tail(src);
    src.splice_tail(busy);
}

void isolate(Cpu& cpu, KernelState& kernel, const LruScan& scan, PageList& dst) {
    const InterruptsOff irq(cpu.time());
    kernel.lru.lru_lock(scan.control.nid).lock(cpu);
    isolate_lru_pages(cpu, kernel, scan, dst);
    kernel.lru.lru_lock(scan.control.nid).unlock(cpu);
}

/// What putback_inactive_pages() and move_active_pages_to_lru() do with a page: it goes back to the
/// list that its flags name, without the reference of its isolation. False: nobody else had one, so
/// it is in `pages_to_free`. lru_lock held.
bool put_back(Cpu& cpu, KernelState& kernel, Page& page, PageList& pages_to_free) {
    kernel.lru.add_page_to_lru_list(cpu, page);
    if (page.add_refcount(cpu, -1) > 0) return true;
    kernel.lru.del_page_from_lru_list(cpu, page);
    pages_to_free.add_head(page);
    return false;
}

/// putback_inactive_pages(): from the tail on. The lru_lock is held, and dropped for a page that
/// was mlocked meanwhile. Those that nobody else uses any more stay in `page_list`.
void putback_inactive_pages(Cpu& cpu, KernelState& kernel, Lock& lru_lock, PageList& page_list) {
    PageList pages_to_free;
    while (!page_list.empty()) {
        Page& page = page_list.tail();
        page_list.remove(page);
        if (page_evictable(cpu, page)) {
            put_back(cpu, kernel, page, pages_to_free);
            continue;
        }
        lru_lock.unlock(cpu);
        putback_lru_page(cpu, kernel, page);
        lru_lock.lock(cpu);
    }
    page_list.splice_tail(pages_to_free);
}

/// move_active_pages_to_lru(): from the tail on. Those that nobody else uses any more go to
/// `pages_to_free`. Returns how many were moved. lru_lock held.
std::uint64_t move_active_pages_to_lru(Cpu& cpu, KernelState& kernel, PageList& list,
                                       PageList& pages_to_free) {
    std::uint64_t nr_moved = 0;
    while (!list.empty()) {
        Page& page = list.tail();
        list.remove(page);
        nr_moved += put_back(cpu, kernel, page, pages_to_free);
    }
    return nr_moved;
}

}  // namespace

std::uint64_t lruvec_lru_size(Cpu& cpu, KernelState& kernel, NodeId nid, unsigned memcg,
                              LruList list) {
    const InterruptsOff irq(cpu.time());
    kernel.lru.lru_lock(nid).lock(cpu);
    const std::uint64_t size = kernel.lru.size(nid, memcg, list);
    kernel.lru.lru_lock(nid).unlock(cpu);
    return size;
}

bool inactive_list_is_low(Cpu& cpu, KernelState& kernel, NodeId nid, unsigned memcg,
                          LruList active) {
    const InterruptsOff irq(cpu.time());
    kernel.lru.lru_lock(nid).lock(cpu);
    const std::uint64_t inactive_size = kernel.lru.size(nid, memcg, inactive_of(active));
    const std::uint64_t active_size = kernel.lru.size(nid, memcg, active);
    kernel.lru.lru_lock(nid).unlock(cpu);
    // int_sqrt(10 * gigabytes of both lists), or 1 below a gigabyte.
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
            page_referenced(cpu, kernel, page, PageLocked::kNo, scan.control.target_mem_cgroup);
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
    std::uint64_t nr_activate = 0;
    std::uint64_t nr_deactivate = 0;
    {
        const InterruptsOff irq(cpu.time());
        Lock& lru_lock = kernel.lru.lru_lock(scan.control.nid);
        lru_lock.lock(cpu);
        nr_activate = move_active_pages_to_lru(cpu, kernel, l_active, l_hold);
        nr_deactivate = move_active_pages_to_lru(cpu, kernel, l_inactive, l_hold);
        kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgDeactivate, nr_deactivate);
        lru_lock.unlock(cpu);
    }
    kernel.pages.free_unref_page_list(cpu, l_hold);
    cpu.emit(Event::kShrinkActive,
             {scan.control.nid, nr_taken, nr_activate, nr_deactivate, nr_rotated,
              scan.control.priority, ReclaimWriteback::of(is_file_lru(scan.list))});
}

LruScanResult shrink_inactive_list(Cpu& cpu, KernelState& kernel, const LruScan& scan) {
    PageList page_list;
    end_finished_writes(cpu, kernel);
    lru_add_drain(cpu, kernel);
    isolate(cpu, kernel, scan, page_list);
    LruScanResult result{page_list.size(), 0, {}};
    if (page_list.empty()) return result;

    ReclaimStat& stat = result.stat;
    result.reclaimed = shrink_page_list(cpu, kernel, page_list, scan.control, stat);
    {
        const InterruptsOff irq(cpu.time());
        Lock& lru_lock = kernel.lru.lru_lock(scan.control.nid);
        lru_lock.lock(cpu);
        putback_inactive_pages(cpu, kernel, lru_lock, page_list);
        lru_lock.unlock(cpu);
    }
    kernel.pages.free_unref_page_list(cpu, page_list);

    ReclaimStats& stats = kernel.reclaim_stats[cpu.id()];
    stats.scanned += result.taken;
    stats.reclaimed += result.reclaimed;
    stats.activated += stat.nr_activate;
    stats.unmap_failed += stat.nr_unmap_fail;
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgScan, result.taken);
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgSteal, result.reclaimed);
    kernel.vm_events.count(cpu, scan.memcg, VmEvent::kPgActivate, stat.nr_activate);
    cpu.emit(
        Event::kShrinkInactive,
        {scan.control.nid, result.taken, result.reclaimed, stat.nr_dirty, stat.nr_writeback,
         stat.nr_congested, stat.nr_immediate, stat.nr_activate, stat.nr_ref_keep,
         stat.nr_unmap_fail, scan.control.priority, ReclaimWriteback::of(is_file_lru(scan.list))});
    return result;
}

}  // namespace mmusim::rmap
