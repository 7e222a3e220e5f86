// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/page_referenced.hpp"

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/ptep_flush.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/walk_users.hpp"

namespace mmusim::rmap {

/// struct page_referenced_arg
struct PageReferencedArg {
    std::uint64_t mapcount;  ///< mappings that were not seen yet
    std::optional<unsigned> memcg;
    PageReferenced result;
};

/// Processes of other groups neither keep the page nor are they aged.
bool invalid_page_referenced_vma(Cpu&, const Vma& vma, PageReferencedArg& pra) {
    return vma.vm_mm->memcg != *pra.memcg;
}

namespace {

/// The mappings in one VMA. False: the walk is over.
bool age_mappings(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma, VirtAddr address,
                  PageReferencedArg& pra) {
    bool referenced = false;
    PageVmaMappedWalk pvmw{page, vma, address};
    while (page_vma_mapped_walk(cpu, kernel, pvmw)) {
        const std::uint64_t vm_flags = read_vm_flags(cpu, vma);
        if (vm_flags & VmFlags::kLocked) {
            page_vma_mapped_walk_done(cpu, pvmw);
            pra.result.vm_flags |= VmFlags::kLocked;
            return false;
        }
        // What is read in sequence is not read again: its accesses are forgotten, not counted.
        if (ptep_clear_flush_young_notify(cpu, kernel, vma, pvmw.address, pvmw.slot.ptep,
                                          Part::kAging) &&
            !(vm_flags & VmFlags::kSeqRead))
            referenced = true;
        --pra.mapcount;
    }

    if (referenced) page.clear(cpu, PageFlag::kIdle, Part::kAging);
    // An access that idle-page tracking has taken from an entry.
    if (page.test_and_clear(cpu, PageFlag::kYoung, Part::kAging)) referenced = true;
    if (referenced) {
        ++pra.result.vmas;
        pra.result.vm_flags |= read_vm_flags(cpu, vma);
    }
    return pra.mapcount > 0;
}

/// page_referenced() without its events.
PageReferenced ask_mappings(Cpu& cpu, KernelState& kernel, Page& page, PageLocked is_locked,
                            std::optional<unsigned> memcg) {
    PageReferencedArg pra{page.mapcount(cpu), memcg, {}};
    if (pra.mapcount == 0) return {};
    const PageMapping mapping = page.mapping(cpu);
    if (mapping.null()) return {};

    const bool lock_here = is_locked == PageLocked::kNo && !mapping.anon();
    if (lock_here && !trylock_page(cpu, page)) return {1, 0};

    auto user = walk_users::page_referenced;
    if (!memcg) user.invalid_vma = walk_users::none;
    rmap_walk(cpu, kernel, page, user, pra);

    if (lock_here) unlock_page(cpu, page);
    return pra.result;
}

}  // namespace

bool page_referenced_one(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma, VirtAddr address,
                         PageReferencedArg& pra) {
    cpu.emit(Event::kPageReferencedOne, {page.pfn().value, vma.vm_mm->context.id, address.value});
    cpu.spend(cpu.costs().page_referenced_one, Part::kAging);
    const bool more = age_mappings(cpu, kernel, page, vma, address, pra);
    cpu.emit(Event::kPageReferencedOneRet, {more ? 1u : 0u});
    return more;
}

PageReferenced page_referenced(Cpu& cpu, KernelState& kernel, Page& page, PageLocked is_locked,
                               std::optional<unsigned> memcg) {
    cpu.emit(Event::kPageReferenced, {page.pfn().value, is_locked == PageLocked::kYes ? 1u : 0u});
    const PageReferenced result = ask_mappings(cpu, kernel, page, is_locked, memcg);
    cpu.emit(Event::kPageReferencedRet, {result.vmas});
    return result;
}

}  // namespace mmusim::rmap
