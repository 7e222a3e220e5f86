// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/clear_refs.hpp"

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_gather.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_table.hpp"

namespace mmusim::rmap {

namespace {

/// ptep_test_and_clear_young(): without a flush. Page-table lock held.
void ptep_test_and_clear_young(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep, Pte pte) {
    cpu.emit(Event::kPtepTestAndClearYoung, {mm.context.id, address.value, ptep.value, pte.raw()});
    if (pte.young()) pte_clear_bits(cpu, ptep, Pte::kAccessed);
}

/// clear_refs_pte_range(): one page table.
void clear_refs_pte_range(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtRange range,
                          const PteSlot& first, ClearRefs type) {
    cpu.emit(Event::kClearRefsPteRange, {mm.context.id, range.start.value, range.end.value});
    pte_lock(cpu, *first.table);
    PhysAddr ptep = first.ptep;
    for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
        const Pte pte = pte_of(read_pte(cpu, ptep));
        Page* page = pte.present() ? vm_normal_page(kernel, pte) : nullptr;
        if (page && type != ClearRefs::kSoftDirty) {
            ptep_test_and_clear_young(cpu, mm, address, ptep, pte);
            page->clear(cpu, PageFlag::kYoung);  // test_and_clear_page_young()
            page->clear(cpu, PageFlag::kReferenced);
        }
        ptep = ptep + 8;
    }
    pte_unlock(cpu, *first.table);
}

/// clear_refs_test_walk(): whether the VMA is left out.
bool skips(const Vma& vma, ClearRefs type) {
    return (type == ClearRefs::kAnon && vma.vm_file) ||
           (type == ClearRefs::kMapped && !vma.vm_file);
}

/// walk_page_range() over the whole mm. Returns the pages of the VMAs that it walked.
std::uint64_t walk_mm(Cpu& cpu, KernelState& kernel, const Mm& mm, ClearRefs type) {
    std::uint64_t pages = 0;
    for (const auto& entry : mm.mmap) {
        const Vma& vma = *entry.second;
        if (skips(vma, type)) continue;
        pages += vma.range().pages();
        for (VirtAddr address = vma.vm_start; address < vma.vm_end;) {
            const VirtAddr next = pmd_addr_end(address, vma.vm_end);
            if (const auto slot = find_pte(cpu, kernel, mm, address, Part::kAging))
                clear_refs_pte_range(cpu, kernel, mm, {address, next}, *slot, type);
            address = next;
        }
    }
    return pages;
}

std::uint64_t clear_refs(Cpu& cpu, KernelState& kernel, Mm& mm, ClearRefs type) {
    const NotifierRange everything{mm.context.id, kAllAddresses, true};
    const bool soft_dirty = type == ClearRefs::kSoftDirty;
    mmap_sem_lock_read(cpu, mm);
    MmuGather tlb(cpu, kernel, mm, kAllAddresses);
    if (soft_dirty) mmu_notifier_invalidate_range_start(cpu, kernel, everything);
    const std::uint64_t pages = walk_mm(cpu, kernel, mm, type);
    if (soft_dirty) mmu_notifier_invalidate_range_end(cpu, kernel, everything);
    tlb.finish();
    mmap_sem_unlock_read(cpu, mm);
    return pages;
}

/// reset_mm_hiwater_rss()
void reset_mm_hiwater_rss(Cpu& cpu, Mm& mm) {
    mmap_sem_lock_write(cpu, mm);
    cpu.memory().store(mm.hiwater_rss, {get_mm_rss(cpu, mm), 0}, Part::kPageState);
    mmap_sem_unlock_write(cpu, mm);
}

}  // namespace

void clear_refs_write(Cpu& cpu, KernelState& kernel, Mm& mm, ClearRefs type) {
    Syscall call(cpu, OperationKind::kClearRefs, 0);
    cpu.emit(Event::kClearRefsWrite, {mm.context.id, static_cast<std::uint64_t>(type)});
    std::uint64_t pages = 0;
    if (type == ClearRefs::kMmHiwaterRss)
        reset_mm_hiwater_rss(cpu, mm);
    else
        pages = clear_refs(cpu, kernel, mm, type);
    call.exit(pages);
}

}  // namespace mmusim::rmap
