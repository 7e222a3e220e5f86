// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_rmap.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/mlock_page.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

void set_page_anon_rmap(Cpu& cpu, Page& page, const AnonVma& anon_vma, const Vma& vma,
                        VirtAddr address) {
    page.index = vma.page_index(address);
    page.set_mapping(cpu, {anon_vma.line.value | PageMapping::kAnon});
}

AnonVma& prepared_anon_vma(Cpu& cpu, KernelState& kernel, const Vma& vma) {
    AnonVma* anon_vma = vma_anon_vma(cpu, kernel, vma);
    MMUSIM_CHECK(anon_vma, "anon_vma_prepare() precedes the first anonymous page of a VMA");
    return *anon_vma;
}

}  // namespace

void page_add_new_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                            VirtAddr address) {
    page.set(cpu, PageFlag::kSwapBacked);
    page.add_mapcount(cpu, 1);
    set_page_anon_rmap(cpu, page, prepared_anon_vma(cpu, kernel, vma), vma, address);
}

void do_page_add_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                           VirtAddr address, RmapExclusive exclusive) {
    const bool first = page.add_mapcount(cpu, 1) == 1;
    if (!first || page.mapping(cpu).anon()) return;
    AnonVma* anon_vma = &prepared_anon_vma(cpu, kernel, vma);
    if (exclusive == RmapExclusive::kNo) anon_vma = anon_vma->root;
    set_page_anon_rmap(cpu, page, *anon_vma, vma, address);
}

void page_add_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                        VirtAddr address) {
    cpu.emit(Event::kPageAddAnonRmap, {page.pfn().value, vma.vm_mm->context.id, address.value});
    do_page_add_anon_rmap(cpu, kernel, page, vma, address, RmapExclusive::kNo);
}

void page_add_file_rmap(Cpu& cpu, Page& page) {
    cpu.emit(Event::kPageAddFileRmap, {page.pfn().value});
    page.add_mapcount(cpu, 1);
}

void page_dup_rmap(Cpu& cpu, Page& page) { page.add_mapcount(cpu, 1); }

void page_move_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma) {
    const AnonVma& anon_vma = prepared_anon_vma(cpu, kernel, vma);
    page.set_mapping(cpu, {anon_vma.line.value | PageMapping::kAnon});
}

void page_remove_rmap(Cpu& cpu, KernelState& kernel, Page& page) {
    const std::uint64_t mapcount = page.add_mapcount(cpu, -1);
    cpu.emit(Event::kPageRemoveRmap, {page.pfn().value, 0, mapcount});
    if (mapcount == 0 && page.test(cpu, PageFlag::kMlocked)) clear_page_mlock(cpu, kernel, page);
}

}  // namespace mmusim::rmap
