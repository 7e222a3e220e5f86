// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/munmap.hpp"

#include <vector>

#include "rmap/mm/mlock.hpp"
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmap.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/zap.hpp"

namespace mmusim::rmap {

namespace {

/// VMAs that left mm->mmap, in ascending order.
using DetachedVmas = std::vector<std::unique_ptr<Vma>>;

/// Splits at both ends, unlocks what is locked, and detach_vmas_to_be_unmapped().
DetachedVmas detach_vmas(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    if (Vma* first = mm.find_vma(range.start); first && first->vm_start < range.start)
        split_vma(cpu, kernel, *first, range.start);
    if (Vma* last = mm.find_vma(range.end); last && last->vm_start < range.end)
        split_vma(cpu, kernel, *last, range.end);
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

/// free_pgtables(): the VMAs leave the reverse map before their tables go.
void free_pgtables(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm, const DetachedVmas& vmas,
                   VirtAddr floor, VirtAddr ceiling) {
    const VirtRange all{vmas.front()->vm_start, vmas.back()->vm_end};
    cpu.emit(Event::kFreePgtables, {mm.context.id, all.start.value, all.end.value});
    for (std::size_t i = 0; i < vmas.size(); ++i) {
        Vma& vma = *vmas[i];
        unlink_anon_vmas(cpu, kernel, vma);
        if (vma.vm_file) {  // unlink_file_vma()
            i_mmap_lock_write(cpu, *vma.vm_file);
            vma.vm_file->i_mmap.remove(vma, vma.first_pgoff());
            i_mmap_unlock_write(cpu, *vma.vm_file);
        }
        const VirtAddr next = i + 1 < vmas.size() ? vmas[i + 1]->vm_start : ceiling;
        free_pgd_range(cpu, kernel, tlb, mm, vma.range(), floor, next);
    }
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
            if (const auto slot = find_pte(cpu, kernel, mm, address, Part::kRmapWalk))
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
std::uint64_t unmap_region(Cpu& cpu, KernelState& kernel, Mm& mm, const DetachedVmas& vmas) {
    const VirtRange all{vmas.front()->vm_start, vmas.back()->vm_end};
    const Vma* previous = mm.previous(*vmas.front());
    const Vma* next = mm.next(*vmas.back());
    const VirtAddr floor = previous ? previous->vm_end : VirtAddr{};
    const VirtAddr ceiling = next ? next->vm_start : VirtAddr{};

    MmuGather tlb(cpu, kernel, mm, all);
    update_hiwater_rss(cpu, mm);
    if (kernel.config.fault == InjectedFault::kFreeBeforeSection)
        free_before_section(cpu, kernel, mm, vmas);
    const NotifierRange range{mm.context.id, all, true};
    mmu_notifier_invalidate_range_start(cpu, kernel, range);
    std::uint64_t cleared = 0;
    for (const auto& vma : vmas) cleared += unmap_page_range(cpu, kernel, tlb, *vma, vma->range());
    // The section ends before the gather flushes and frees (rule N21).
    if (kernel.config.fault == InjectedFault::kUnlockInsideSection)
        end_section_unlocked(cpu, kernel, mm, range);
    else
        mmu_notifier_invalidate_range_end(cpu, kernel, range);
    free_pgtables(cpu, kernel, tlb, mm, vmas, floor, ceiling);
    tlb.finish();
    return cleared;
}

}  // namespace

std::uint64_t munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    const OperationId call = begin_operation(cpu, OperationKind::kMunmap, range.pages());
    cpu.spend(cpu.costs().syscall_entry, Part::kSyscall);
    std::uint64_t cleared = 0;
    mmap_sem_lock_write(cpu, mm);
    const DetachedVmas vmas = detach_vmas(cpu, kernel, mm, range);
    if (vmas.empty()) {
        mmap_sem_unlock_write(cpu, mm);
    } else {
        // Nobody finds these VMAs any more, so faults on others need not wait for their pages.
        mmap_sem_downgrade_write(cpu, mm);
        cleared = unmap_region(cpu, kernel, mm, vmas);
        for (const auto& vma : vmas) mm.total_vm -= vma->range().pages();
        mmap_sem_unlock_read(cpu, mm);
    }
    cpu.spend(cpu.costs().syscall_exit, Part::kSyscall);
    end_operation(cpu, call, OperationKind::kMunmap, Outcome::kDone, cleared);
    return cleared;
}

}  // namespace mmusim::rmap
