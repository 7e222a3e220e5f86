// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/page_idle.hpp"

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "rmap/unmap/ptep_flush.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/walk_users.hpp"

namespace mmusim::rmap {

bool page_idle_clear_pte_refs_one(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma,
                                  VirtAddr address, NoArg&) {
    cpu.emit(Event::kPageIdleClearPteRefsOne,
             {page.pfn().value, vma.vm_mm->context.id, address.value});
    cpu.spend(cpu.costs().page_referenced_one, Part::kAging);
    bool referenced = false;
    PageVmaMappedWalk pvmw{page, vma, address};
    while (page_vma_mapped_walk(cpu, kernel, pvmw))
        if (ptep_clear_young_notify(cpu, kernel, vma, pvmw.address, pvmw.slot.ptep, Part::kAging))
            referenced = true;

    if (referenced) {
        page.clear(cpu, PageFlag::kIdle, Part::kAging);
        // The accessed bit was reclaim's as well: page_referenced() still finds the access.
        page.set(cpu, PageFlag::kYoung, Part::kAging);
    }
    return true;
}

namespace {

/// page_idle_get_page(): a page on an LRU list, with a reference. Others are not user memory, or
/// somebody has isolated them for a moment.
Page* page_idle_get_page(Cpu& cpu, KernelState& kernel, FrameNumber pfn) {
    if (!kernel.pages.pfn_valid(pfn)) return nullptr;
    Page& page = kernel.pages.pfn_to_page(pfn);
    if (!page.test(cpu, PageFlag::kLru, Part::kAging) || !page.get_unless_zero(cpu)) return nullptr;
    bool on_list = false;
    {
        const InterruptsOff irq(cpu.time());
        kernel.lru.lru_lock(page.nid()).lock(cpu);
        on_list = page.test(cpu, PageFlag::kLru, Part::kAging);
        kernel.lru.lru_lock(page.nid()).unlock(cpu);
    }
    if (on_list) return &page;
    put_page(cpu, kernel, page);
    return nullptr;
}

void page_idle_clear_pte_refs(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kPageIdleClearPteRefs, {page.pfn().value});
    if (!page_mapped(cpu, page)) return;
    const PageMapping mapping = page.mapping(cpu);
    if (mapping.null()) return;

    const bool need_lock = !mapping.anon();
    if (need_lock && !trylock_page(cpu, page)) return;
    NoArg none;
    rmap_walk(cpu, kernel, page, walk_users::page_idle_clear_pte_refs, none);
    if (need_lock) unlock_page(cpu, page);
}

bool page_is_idle(Cpu& cpu, const Page& page) {
    return page.test(cpu, PageFlag::kIdle, Part::kAging);
}

/// One bit of the bitmap.
bool read_one(Cpu& cpu, KernelState& kernel, FrameNumber pfn) {
    Page* page = page_idle_get_page(cpu, kernel, pfn);
    if (!page) return false;
    bool idle = page_is_idle(cpu, *page);
    if (idle) {
        // It may have been accessed through a mapping, which does not know of the mark.
        page_idle_clear_pte_refs(cpu, kernel, *page);
        idle = page_is_idle(cpu, *page);
    }
    put_page(cpu, kernel, *page);
    return idle;
}

bool write_one(Cpu& cpu, KernelState& kernel, FrameNumber pfn) {
    Page* page = page_idle_get_page(cpu, kernel, pfn);
    if (!page) return false;
    page_idle_clear_pte_refs(cpu, kernel, *page);
    page->set(cpu, PageFlag::kIdle, Part::kAging);
    put_page(cpu, kernel, *page);
    return true;
}

void check_chunk(FrameNumber first) {
    MMUSIM_CHECK(first.value % kBitmapChunkBits == 0, "the bitmap is accessed in whole chunks");
}

}  // namespace

std::uint64_t page_idle_bitmap_read(Cpu& cpu, KernelState& kernel, FrameNumber first) {
    check_chunk(first);
    Syscall call(cpu, OperationKind::kPageIdle, kBitmapChunkBits);
    std::uint64_t bits = 0;
    std::uint64_t idle = 0;
    for (std::uint64_t bit = 0; bit < kBitmapChunkBits; ++bit)
        if (read_one(cpu, kernel, first + bit)) {
            bits |= std::uint64_t{1} << bit;
            ++idle;
        }
    call.exit(idle);
    return bits;
}

std::uint64_t page_idle_bitmap_write(Cpu& cpu, KernelState& kernel, FrameNumber first,
                                     std::uint64_t bits) {
    check_chunk(first);
    Syscall call(cpu, OperationKind::kPageIdle, kBitmapChunkBits);
    std::uint64_t marked = 0;
    for (std::uint64_t bit = 0; bit < kBitmapChunkBits; ++bit)
        if ((bits >> bit & 1) && write_one(cpu, kernel, first + bit)) ++marked;
    call.exit(marked);
    return marked;
}

}  // namespace mmusim::rmap
