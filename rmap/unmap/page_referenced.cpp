// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/page_referenced.hpp"

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/ptep_flush.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/rmap_walk.hpp"

namespace mmusim::rmap {

namespace {

/// struct page_referenced_arg
struct PageReferencedArg {
    std::uint64_t mapcount;  ///< mappings that were not seen yet
    PageReferenced result;
};

bool page_referenced_one(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma, VirtAddr address,
                         PageReferencedArg& pra) {
    cpu.emit(Event::kPageReferencedOne, {page.pfn().value, vma.vm_mm->context.id, address.value});
    cpu.spend(cpu.costs().page_referenced_one, Part::kAging);

    bool referenced = false;
    PageVmaMappedWalk pvmw{page, vma, address};
    while (page_vma_mapped_walk(cpu, kernel, pvmw)) {
        // What is read in sequence is not read again: its accesses are forgotten, not counted.
        if (ptep_clear_flush_young_notify(cpu, kernel, vma, pvmw.address, pvmw.slot.ptep,
                                          Part::kAging) &&
            !vma.has(VmFlags::kSeqRead))
            referenced = true;
        --pra.mapcount;
    }
    if (referenced) {
        ++pra.result.vmas;
        pra.result.vm_flags |= vma.vm_flags;
    }
    const bool more = pra.mapcount > 0;
    cpu.emit(Event::kPageReferencedOneRet, {more ? 1u : 0u});
    return more;
}

void walk(Cpu& cpu, KernelState& kernel, Page& page, std::optional<unsigned> memcg,
          PageReferencedArg& pra) {
    const auto one = [&](Vma& vma, VirtAddr address) {
        return page_referenced_one(cpu, kernel, page, vma, address, pra);
    };
    const auto other_memcg = [&](const Vma& vma) { return vma.vm_mm->memcg != *memcg; };
    RmapWalkControl control{one, AnonLock::kPageLockAnonVmaRead, {}, {}};
    if (memcg) control.invalid_vma = other_memcg;
    rmap_walk(cpu, kernel, page, control);
}

/// The decision of page_referenced() whether to walk at all.
PageReferenced ask_mappings(Cpu& cpu, KernelState& kernel, Page& page, PageLocked is_locked,
                            std::optional<unsigned> memcg) {
    PageReferencedArg pra{page.mapcount(cpu), {}};
    if (pra.mapcount == 0) return {};
    const PageMapping mapping = page.mapping(cpu);
    if (mapping.null()) return {};

    const bool lock_here = is_locked == PageLocked::kNo && !mapping.anon();
    if (lock_here && !trylock_page(cpu, page)) return {1, 0};
    walk(cpu, kernel, page, memcg, pra);
    if (lock_here) unlock_page(cpu, page);
    return pra.result;
}

}  // namespace

PageReferenced page_referenced(Cpu& cpu, KernelState& kernel, Page& page, PageLocked is_locked,
                               std::optional<unsigned> memcg) {
    cpu.emit(Event::kPageReferenced, {page.pfn().value, is_locked == PageLocked::kYes ? 1u : 0u});
    const PageReferenced result = ask_mappings(cpu, kernel, page, is_locked, memcg);
    cpu.emit(Event::kPageReferencedRet, {result.vmas});
    return result;
}

}  // namespace mmusim::rmap
