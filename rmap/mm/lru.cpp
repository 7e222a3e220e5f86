// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/lru.hpp"

namespace mmusim::rmap {

Lru::Lru(KernelMemory& memory, unsigned groups) {
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

void Lru::deactivate_page(Cpu& cpu, Page& page) {
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (has(flags, PageFlag::kLru) && !has(flags, PageFlag::kUnevictable) &&
        has(flags, PageFlag::kActive)) {
        del_page_from_lru_list(cpu, page);
        page.clear(cpu, PageFlag::kActive, Part::kLru);
        add_page_to_lru_list(cpu, page);
    }
    lru_lock(page.nid()).unlock(cpu);
}

bool page_evictable(Cpu& cpu, const Page& page) {
    return !page.test(cpu, PageFlag::kMlocked, Part::kLru);
}

}  // namespace mmusim::rmap
