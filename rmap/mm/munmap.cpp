// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/munmap.hpp"

#include <utility>

#include "rmap/mm/mlock.hpp"
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/unmap_vmas.hpp"
#include "rmap/mm/vma_adjust.hpp"

namespace mmusim::rmap {

namespace {

/// The splits of __do_munmap(), unlocking what is locked, and detach_vmas_to_be_unmapped().
DetachedVmas detach_vmas(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    Vma* first = mm.find_vma(range.start);
    if (first && first->vm_start < range.start)
        split_vma(cpu, kernel, *first, range.start, NewPart::kAbove);
    Vma* last = mm.find_vma(range.end);
    if (last && last->vm_start < range.end)
        split_vma(cpu, kernel, *last, range.end, NewPart::kBelow);
    DetachedVmas detached;
    auto vma = mm.mmap.lower_bound(range.start);
    for (auto locked = vma; locked != mm.mmap.end() && locked->first < range.end; ++locked)
        if (locked->second->has(VmFlags::kLocked)) {
            mm.locked_vm -= locked->second->range().pages();
            munlock_vma_pages_all(cpu, kernel, *locked->second);
        }
    while (vma != mm.mmap.end() && vma->first < range.end) {
        detached.push_back(std::move(vma->second));
        vma = mm.mmap.erase(vma);
    }
    return detached;
}

/// InjectedFault::kFreeBeforeSection, for one entry: the mapping's reference is dropped as if the
/// entry had been cleared, if it is the only one. The entry stays, and names a free frame.
bool free_under_entry(Cpu& cpu, KernelState& kernel, PteSlot slot) {
    pte_lock(cpu, *slot.table);
    const Pte pte = pte_of(read_pte(cpu, slot.ptep));
    Page* page = pte.present() ? vm_normal_page(kernel, pte) : nullptr;
    const bool last = page && page->freeze(cpu, 1);
    if (last) page_remove_rmap(cpu, kernel, *page);
    pte_unlock(cpu, *slot.table);
    if (last) free_page(cpu, kernel, *page);
    return last;
}

/// ... for the first page of the region that nobody else holds.
void free_before_section(Cpu& cpu, KernelState& kernel, const Mm& mm, const DetachedVmas& vmas) {
    for (const auto& vma : vmas)
        for (VirtAddr address = vma->vm_start; address < vma->vm_end; address = address + kPageSize)
            if (const auto slot = find_pte(cpu, kernel, mm, address, Part::kPageWalk))
                if (free_under_entry(cpu, kernel, *slot)) return;
}

/// InjectedFault::kUnlockInsideSection: nothing keeps the VMAs while the section ends. They are
/// detached, so nobody else finds them.
void end_section_unlocked(Cpu& cpu, KernelState& kernel, Mm& mm, const NotifierRange& range) {
    mmap_sem_unlock_read(cpu, mm);
    mmu_notifier_invalidate_range_end(cpu, kernel, range);
    mmap_sem_lock_read(cpu, mm);
}

/// unmap_region()
std::uint64_t unmap_region(Cpu& cpu, KernelState& kernel, Mm& mm, const DetachedVmas& vmas,
                           VirtRange all) {
    const Vma* previous = mm.previous(*vmas.front());
    const Vma* next = mm.next(*vmas.back());
    const VirtAddr floor = previous ? previous->vm_end : VirtAddr{};
    const VirtAddr ceiling = next ? next->vm_start : VirtAddr{};

    lru_add_drain(cpu, kernel);
    MmuGather tlb(cpu, kernel, mm, all);
    update_hiwater_rss(cpu, mm);
    if (kernel.config.fault == InjectedFault::kFreeBeforeSection)
        free_before_section(cpu, kernel, mm, vmas);
    const NotifierRange range{mm.context.id, all, true};
    mmu_notifier_invalidate_range_start(cpu, kernel, range);
    std::uint64_t cleared = 0;
    for (const auto& vma : vmas) cleared += unmap_single_vma(cpu, kernel, tlb, *vma, all);
    // The section ends before the gather flushes and frees (rule N21).
    if (kernel.config.fault == InjectedFault::kUnlockInsideSection)
        end_section_unlocked(cpu, kernel, mm, range);
    else
        mmu_notifier_invalidate_range_end(cpu, kernel, range);
    free_pgtables(cpu, kernel, tlb, mm, vmas, floor, ceiling);
    tlb.finish();
    return cleared;
}

/// remove_vma_list()
void remove_vma_list(Cpu& cpu, KernelState& kernel, Mm& mm, DetachedVmas vmas) {
    update_hiwater_vm(mm);
    for (auto& vma : vmas) {
        vm_stat_account(mm, vma->vm_flags, -static_cast<std::int64_t>(vma->range().pages()));
        vm_area_free(cpu, kernel, std::move(vma));
    }
}

}  // namespace

Unmapped do_munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, Downgrade downgrade) {
    DetachedVmas vmas = detach_vmas(cpu, kernel, mm, range);
    if (vmas.empty()) return {};
    // Nobody finds these VMAs any more, so faults on others need not wait for their pages.
    const bool downgraded = downgrade == Downgrade::kYes;
    if (downgraded) mmap_sem_downgrade_write(cpu, mm);
    const std::uint64_t cleared = unmap_region(cpu, kernel, mm, vmas, range);
    remove_vma_list(cpu, kernel, mm, std::move(vmas));
    return {cleared, downgraded};
}

void mmap_sem_unlock(Cpu& cpu, Mm& mm, const Unmapped& unmapped) {
    if (unmapped.downgraded)
        mmap_sem_unlock_read(cpu, mm);
    else
        mmap_sem_unlock_write(cpu, mm);
}

std::uint64_t munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    Syscall call(cpu, OperationKind::kMunmap, range.pages());
    mmap_sem_lock_write(cpu, mm);
    const Unmapped unmapped = do_munmap(cpu, kernel, mm, range, Downgrade::kYes);
    mmap_sem_unlock(cpu, mm, unmapped);
    call.exit(unmapped.entries);
    return unmapped.entries;
}

}  // namespace mmusim::rmap
