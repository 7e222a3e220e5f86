// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/lru.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

Lru::Lru(KernelMemory& memory, unsigned groups, VmEventCounters& vm_events)
    : vm_events_(vm_events) {
    for (std::size_t i = 0; i < memory.layout().nodes.size(); ++i)
        nodes_.emplace_back(memory, groups);
}

bool Lru::test_pgdat_flag(Cpu& cpu, NodeId nid, PgdatFlag flag) {
    return cpu.memory().load(nodes_.at(nid).flags, Part::kLru).value &
           static_cast<std::uint64_t>(flag);
}

void Lru::set_pgdat_flag(Cpu& cpu, NodeId nid, PgdatFlag flag) {
    const auto set = [&](Word old, Instant) {
        return Word{old.value | static_cast<std::uint64_t>(flag), 0};
    };
    cpu.memory().read_modify_write(nodes_.at(nid).flags, set, Part::kLru);
}

void Lru::clear_pgdat_flags(Cpu& cpu, NodeId nid) {
    cpu.memory().store(nodes_.at(nid).flags, {}, Part::kLru);
}

PageList& Lru::list_of(Page& page, std::uint64_t flags) {
    if (has(flags, PageFlag::kUnevictable))
        return lruvec(page.nid(), page.memcg).list(LruList::kUnevictable);
    const bool file = !has(flags, PageFlag::kSwapBacked);
    const bool active = has(flags, PageFlag::kActive);
    const auto which = static_cast<LruList>((file ? 2 : 0) + (active ? 1 : 0));
    return lruvec(page.nid(), page.memcg).list(which);
}

void Lru::link(Cpu& cpu, Page& page) {
    list_of(page, page.flags(cpu, Part::kLru)).add_head(page);
    cpu.spend(cpu.costs().lru_putback, Part::kLru);
}

void Lru::add_page_to_lru_list(Cpu& cpu, Page& page) {
    page.set(cpu, PageFlag::kLru, Part::kLru);
    link(cpu, page);
}

void Lru::add_page_to_lru_list_tail(Cpu& cpu, Page& page) {
    page.set(cpu, PageFlag::kLru, Part::kLru);
    list_of(page, page.flags(cpu, Part::kLru)).add_tail(page);
    cpu.spend(cpu.costs().lru_putback, Part::kLru);
}

void Lru::del_page_from_lru_list(Cpu& cpu, Page& page) {
    list_of(page, page.flags(cpu, Part::kLru)).remove(page);
    page.clear(cpu, PageFlag::kLru, Part::kLru);
    cpu.spend(cpu.costs().lru_isolate, Part::kLru);
}

void Lru::pagevec_lru_add_fn(Cpu& cpu, Page& page) {
    page.clear(cpu, PageFlag::kUnevictable, Part::kLru);
    page.set(cpu, PageFlag::kLru, Part::kLru);
    // Whoever clears PG_mlocked looks at PG_lru afterwards, maybe without the lock; here it is the
    // other way round, so one of the two finds the page and puts it where it belongs.
    if (!page_evictable(cpu, page)) {
        page.clear(cpu, PageFlag::kActive, Part::kLru);
        page.set(cpu, PageFlag::kUnevictable, Part::kLru);
    }
    link(cpu, page);
}

void Lru::lru_cache_add(Cpu& cpu, Page& page) {
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    pagevec_lru_add_fn(cpu, page);
    lru_lock(page.nid()).unlock(cpu);
}

void Lru::lru_cache_add_active_or_unevictable(Cpu& cpu, Page& page, const Vma& vma) {
    page.set(cpu, vma.has(VmFlags::kLocked) ? PageFlag::kMlocked : PageFlag::kActive);
    lru_cache_add(cpu, page);
}

bool Lru::isolate_lru_page(Cpu& cpu, Page& page) {
    if (!page.test(cpu, PageFlag::kLru, Part::kLru)) return false;
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    const bool on_list = page.test(cpu, PageFlag::kLru, Part::kLru);
    if (on_list) {
        page.add_refcount(cpu, 1);
        del_page_from_lru_list(cpu, page);
    }
    lru_lock(page.nid()).unlock(cpu);
    return on_list;
}

bool Lru::munlock_isolate_lru_page(Cpu& cpu, Page& page) {
    const bool on_list = page.test(cpu, PageFlag::kLru, Part::kLru);
    if (on_list) del_page_from_lru_list(cpu, page);
    return on_list;
}

void Lru::set_active(Cpu& cpu, Page& page, Active active) {
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (has(flags, PageFlag::kLru) && !has(flags, PageFlag::kUnevictable) &&
        has(flags, PageFlag::kActive) != (active == Active::kYes)) {
        del_page_from_lru_list(cpu, page);
        if (active == Active::kYes) {
            page.set(cpu, PageFlag::kActive, Part::kLru);
            vm_events_.count(cpu, page.memcg, VmEvent::kPgActivate);
        } else {
            page.clear(cpu, PageFlag::kActive, Part::kLru);
        }
        add_page_to_lru_list(cpu, page);
    }
    lru_lock(page.nid()).unlock(cpu);
}

void Lru::activate_page(Cpu& cpu, Page& page) { set_active(cpu, page, Active::kYes); }
void Lru::deactivate_page(Cpu& cpu, Page& page) { set_active(cpu, page, Active::kNo); }

void Lru::rotate_reclaimable_page(Cpu& cpu, Page& page) {
    if (page_locked(cpu, page) || page.test(cpu, PageFlag::kDirty, Part::kLru)) return;
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    if (page.test(cpu, PageFlag::kLru, Part::kLru)) {
        del_page_from_lru_list(cpu, page);
        page.clear(cpu, PageFlag::kActive, Part::kLru);
        add_page_to_lru_list_tail(cpu, page);
    }
    lru_lock(page.nid()).unlock(cpu);
}

void Lru::mark_page_accessed(Cpu& cpu, Page& page) {
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (!has(flags, PageFlag::kReferenced)) {
        page.set(cpu, PageFlag::kReferenced, Part::kLru);
    } else if (!has(flags, PageFlag::kActive) && !has(flags, PageFlag::kUnevictable)) {
        activate_page(cpu, page);
        page.clear(cpu, PageFlag::kReferenced, Part::kLru);
    }
    if (has(flags, PageFlag::kIdle)) page.clear(cpu, PageFlag::kIdle, Part::kLru);
}

namespace {

/// The condition of lru_lazyfree_fn(), for a page that is anonymous.
bool may_become_lazyfree(std::uint64_t flags) {
    return has(flags, PageFlag::kLru) && has(flags, PageFlag::kSwapBacked) &&
           !has(flags, PageFlag::kSwapCache) && !has(flags, PageFlag::kUnevictable);
}

}  // namespace

void Lru::mark_page_lazyfree(Cpu& cpu, Page& page) {
    if (!page_is_anon(cpu, page) || !may_become_lazyfree(page.flags(cpu, Part::kLru))) return;
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    if (may_become_lazyfree(page.flags(cpu, Part::kLru))) {  // lru_lazyfree_fn()
        del_page_from_lru_list(cpu, page);
        page.clear(cpu, PageFlag::kActive, Part::kLru);
        page.clear(cpu, PageFlag::kReferenced, Part::kLru);
        page.clear(cpu, PageFlag::kSwapBacked, Part::kLru);
        add_page_to_lru_list(cpu, page);
        vm_events_.count(cpu, page.memcg, VmEvent::kPgLazyFree);
    }
    lru_lock(page.nid()).unlock(cpu);
}

bool page_evictable(Cpu& cpu, const Page& page) {
    return !page.test(cpu, PageFlag::kMlocked, Part::kLru);
}

void putback_lru_page(Cpu& cpu, KernelState& kernel, Page& page) {
    kernel.lru.lru_cache_add(cpu, page);
    put_page(cpu, kernel, page);
}

void lru_add_drain(Cpu& cpu, KernelState& kernel) { release_pages(cpu, kernel, {}); }

void pagevec_lru_add(Cpu& cpu, KernelState& kernel, const std::vector<Page*>& pages) {
    {
        const InterruptsOff irq(cpu.time());
        Lock& lru_lock = kernel.lru.lru_lock(pages.front()->nid());
        lru_lock.lock(cpu);
        for (Page* page : pages) kernel.lru.pagevec_lru_add_fn(cpu, *page);
        lru_lock.unlock(cpu);
    }
    release_pages(cpu, kernel, pages);
}

}  // namespace mmusim::rmap
