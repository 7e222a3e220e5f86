// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_allocator.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

PageAllocator::PageAllocator(KernelMemory& memory) : memory_(memory) {
    for (const auto& node : memory.layout().nodes)
        zones_.emplace_back(node, memory.allocate_line());
}

Page& PageAllocator::pfn_to_page(FrameNumber frame) {
    const auto found = mem_map_.find(frame);
    if (found != mem_map_.end()) return found->second;
    return mem_map_
        .try_emplace(frame, frame, memory_.page_to_nid(frame), memory_.struct_page_line(frame))
        .first->second;
}

bool PageAllocator::pfn_valid(FrameNumber frame) const {
    return std::any_of(zones_.begin(), zones_.end(), [&](const Zone& zone) {
        return frame.value - zone.memory.first.value < zone.memory.frames;
    });
}

std::uint64_t PageAllocator::nr_free_pages(NodeId nid) const {
    const Zone& zone = zones_.at(nid);
    return zone.memory.frames - zone.touched + zone.free.size();
}

Page* PageAllocator::rmqueue(Cpu& cpu, NodeId nid) {
    Zone& zone = zones_.at(nid);
    const InterruptsOff irqsave(cpu.time());
    zone.lock.lock(cpu);
    Page* page = nullptr;
    if (!zone.free.empty()) {
        page = &pfn_to_page(zone.free.back());
        zone.free.pop_back();
    } else if (zone.touched < zone.memory.frames) {
        page = &pfn_to_page(zone.memory.first + zone.touched++);
    }
    zone.lock.unlock(cpu);
    return page;
}

Page& PageAllocator::prep_new_page(Cpu& cpu, Page& page, GfpFlags gfp) {
    page.set_refcount(cpu, 1);
    if (gfp == GfpFlags::kZero) cpu.spend(cpu.costs().clear_page, Part::kAllocate);
    cpu.emit(Event::kPageAlloc, {page.pfn().value, page.generation});
    return page;
}

Page& PageAllocator::alloc_page(Cpu& cpu, NodeId nid, GfpFlags gfp) {
    cpu.spend(cpu.costs().page_allocate, Part::kAllocate);
    Page* page = nullptr;
    for (std::size_t i = 0; i < zones_.size() && !page; ++i)
        page = rmqueue(cpu, static_cast<NodeId>((nid + i) % zones_.size()));
    MMUSIM_CHECK(page, "the nodes have too little memory for this scenario");
    return prep_new_page(cpu, *page, gfp);
}

Page* PageAllocator::alloc_page_thisnode(Cpu& cpu, NodeId nid) {
    cpu.spend(cpu.costs().page_allocate, Part::kAllocate);
    Page* page = rmqueue(cpu, nid);
    return page ? &prep_new_page(cpu, *page, GfpFlags::kNone) : nullptr;
}

void PageAllocator::free_pages_prepare(Cpu& cpu, Page& page) {
    cpu.emit(Event::kPageFree, {page.pfn().value, 0, page.generation});
    ++page.generation;
    page.set_mapping(cpu, {});
    page.set_flags(cpu, 0);
}

void PageAllocator::free_unref_page_commit(Cpu& cpu, Zone& zone, Page& page) {
    cpu.spend(cpu.costs().page_free, Part::kFree);
    zone.free.push_back(page.pfn());
}

void PageAllocator::free_unref_page(Cpu& cpu, Page& page) {
    free_pages_prepare(cpu, page);
    Zone& zone = zones_.at(page.nid());
    const InterruptsOff irqsave(cpu.time());
    zone.lock.lock(cpu);
    free_unref_page_commit(cpu, zone, page);
    zone.lock.unlock(cpu);
}

void PageAllocator::free_unref_page_list(Cpu& cpu, PageList& list) {
    cpu.emit(Event::kFreeUnrefPageList, {list.size()});
    if (list.empty()) return;
    for (Page* page = &list.head(); page; page = PageList::next(*page))
        free_pages_prepare(cpu, *page);

    const InterruptsOff irqsave(cpu.time());
    Zone* locked = nullptr;
    while (!list.empty()) {
        Page& page = list.head();
        list.remove(page);
        Zone& zone = zones_.at(page.nid());
        if (locked != &zone) {
            if (locked) locked->lock.unlock(cpu);
            zone.lock.lock(cpu);
            locked = &zone;
        }
        cpu.emit(Event::kPageFreeBatched, {page.pfn().value, 0});
        free_unref_page_commit(cpu, zone, page);
    }
    locked->lock.unlock(cpu);
}

}  // namespace mmusim::rmap
