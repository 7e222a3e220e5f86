// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/page_mkclean.hpp"

#include <algorithm>

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "rmap/unmap/ptep_flush.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/walk_users.hpp"

namespace mmusim::rmap {

/// int *cleaned
struct MkcleanCount {
    std::uint64_t cleaned = 0;
};

/// A private mapping of the file has copies where it has written. VM_SHARED never changes.
bool invalid_mkclean_vma(Cpu&, const Vma& vma, MkcleanCount&) { return !vma.has(VmFlags::kShared); }

namespace {

/// page_mkclean() without its events.
std::uint64_t clean_mappings(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!page_mapped(cpu, page)) return 0;
    if (!page_mapping(cpu, kernel, page)) return 0;
    MkcleanCount count;
    rmap_walk(cpu, kernel, page, walk_users::page_mkclean, count);
    return count.cleaned;
}

}  // namespace

bool page_mkclean_one(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma, VirtAddr address,
                      MkcleanCount& count) {
    const MmContext& mm = vma.vm_mm->context;
    cpu.emit(Event::kPageMkcleanOne, {page.pfn().value, mm.id, address.value});
    cpu.spend(cpu.costs().try_to_unmap_one, Part::kPageState);
    const NotifierRange range{mm.id, {address, std::min(vma.vm_end, address + kPageSize)}, true};
    mmu_notifier_invalidate_range_start(cpu, kernel, range);

    PageVmaMappedWalk pvmw{page, vma, address, PvmwFlags::kSync};
    while (page_vma_mapped_walk(cpu, kernel, pvmw)) {
        const PhysAddr ptep = pvmw.slot.ptep;
        const Pte pte = pte_of(read_pte(cpu, ptep));
        if (!pte.dirty() && !pte.writable()) continue;
        const Word old = ptep_clear_flush(cpu, kernel, vma, pvmw.address, ptep);
        const Pte entry = pte_of(old).without(Pte::kWritable | Pte::kDirty);
        set_pte_at(cpu, ptep, entry, old.generation);
        cpu.emit(Event::kMkcleanSetPte, {mm.id, pvmw.address.value, ptep.value, entry.raw(),
                                         entry.frame().value, old.generation});
        ++count.cleaned;
    }

    // No invalidate_range under the lock: the entry allows less and maps the same page.
    mmu_notifier_invalidate_range_end(cpu, kernel, range);
    return true;
}

std::uint64_t page_mkclean(Cpu& cpu, KernelState& kernel, Page& page) {
    MMUSIM_CHECK(page.lock.held_by(cpu), "a page is locked while it is cleaned");
    cpu.emit(Event::kPageMkclean, {page.pfn().value});
    const std::uint64_t cleaned = clean_mappings(cpu, kernel, page);
    cpu.emit(Event::kPageMkcleanRet, {cleaned});
    return cleaned;
}

}  // namespace mmusim::rmap
