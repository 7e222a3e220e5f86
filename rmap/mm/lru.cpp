// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/lru.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

constexpr bool has(std::uint64_t flags, PageFlag flag) {
    return flags & static_cast<std::uint64_t>(flag);
}

}  // namespace

Lru::Lru(KernelMemory& memory, unsigned groups) {
    for (std::size_t i = 0; i < memory.layout().nodes.size(); ++i)
        nodes_.emplace_back(memory.allocate_line(), groups);
}

PageList& Lru::list_of(Page& page, std::uint64_t flags) {
    const bool file = !has(flags, PageFlag::kSwapBacked);
    const bool active = has(flags, PageFlag::kActive);
    const auto which = static_cast<LruList>((file ? 2 : 0) + (active ? 1 : 0));
    return lruvec(page.nid(), page.memcg).list(which);
}

void Lru::add_page_to_lru_list(Cpu& cpu, Page& page) {
    page.set(cpu, PageFlag::kLru, Part::kLru);
    list_of(page, page.flags(cpu, Part::kLru)).add_head(page);
    cpu.spend(cpu.costs().lru_putback, Part::kLru);
}

void Lru::del_page_from_lru_list(Cpu& cpu, Page& page) {
    list_of(page, page.flags(cpu, Part::kLru)).remove(page);
    page.clear(cpu, PageFlag::kLru, Part::kLru);
    cpu.spend(cpu.costs().lru_isolate, Part::kLru);
}

void Lru::lru_cache_add(Cpu& cpu, Page& page) {
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    add_page_to_lru_list(cpu, page);
    lru_lock(page.nid()).unlock(cpu);
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

void Lru::set_active(Cpu& cpu, Page& page, Active active) {
    const InterruptsOff irq(cpu.time());
    lru_lock(page.nid()).lock(cpu);
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (has(flags, PageFlag::kLru) && has(flags, PageFlag::kActive) != (active == Active::kYes)) {
        del_page_from_lru_list(cpu, page);
        if (active == Active::kYes)
            page.set(cpu, PageFlag::kActive, Part::kLru);
        else
            page.clear(cpu, PageFlag::kActive, Part::kLru);
        add_page_to_lru_list(cpu, page);
    }
    lru_lock(page.nid()).unlock(cpu);
}

void Lru::activate_page(Cpu& cpu, Page& page) { set_active(cpu, page, Active::kYes); }
void Lru::deactivate_page(Cpu& cpu, Page& page) { set_active(cpu, page, Active::kNo); }

void Lru::mark_page_accessed(Cpu& cpu, Page& page) {
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (!has(flags, PageFlag::kReferenced)) {
        page.set(cpu, PageFlag::kReferenced, Part::kLru);
    } else if (!has(flags, PageFlag::kActive)) {
        activate_page(cpu, page);
        page.clear(cpu, PageFlag::kReferenced, Part::kLru);
    }
}

}  // namespace mmusim::rmap
