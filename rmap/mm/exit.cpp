// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/exit.hpp"

#include <utility>

#include "rmap/mm/mlock.hpp"
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/unmap_vmas.hpp"
#include "rmap/mm/vma_adjust.hpp"

namespace mmusim::rmap {

namespace {

/// What exit_mm() does before mmput(): the task of this CPU leaves its mm.
void clear_current_mm(Cpu& cpu, KernelState& kernel, Mm& mm) {
    sync_mm_rss(cpu, mm);
    mmap_sem_lock_read(cpu, mm);
    cpu.current->mm = nullptr;
    mmap_sem_unlock_read(cpu, mm);
    kernel.flush.enter_lazy_tlb(cpu);
}

DetachedVmas take_all_vmas(Mm& mm) {
    DetachedVmas vmas;
    for (auto& entry : mm.mmap) vmas.push_back(std::move(entry.second));
    mm.mmap.clear();
    return vmas;
}

/// The object outlives the process, and reports see that nothing is left.
void forget_sizes(Mm& mm) {
    update_hiwater_vm(mm);
    mm.total_vm = mm.data_vm = mm.exec_vm = mm.stack_vm = mm.locked_vm = 0;
}

std::uint64_t unmap_all(Cpu& cpu, KernelState& kernel, Mm& mm) {
    if (mm.mmap.empty()) return 0;
    lru_add_drain(cpu, kernel);
    MmuGather tlb(cpu, kernel, mm, kAllAddresses);
    // unmap_vmas(): the section of an mm whose list of notifiers is empty by now.
    const NotifierRange everything{mm.context.id, kAllAddresses, true};
    mmu_notifier_invalidate_range_start(cpu, kernel, everything);
    std::uint64_t cleared = 0;
    for (const auto& entry : mm.mmap)
        cleared += unmap_single_vma(cpu, kernel, tlb, *entry.second, kAllAddresses);
    mmu_notifier_invalidate_range_end(cpu, kernel, everything);
    DetachedVmas vmas = take_all_vmas(mm);
    free_pgtables(cpu, kernel, tlb, mm, vmas, {}, {});
    tlb.finish();
    for (auto& vma : vmas) vm_area_free(cpu, kernel, std::move(vma));
    return cleared;
}

std::uint64_t exit_mmap(Cpu& cpu, KernelState& kernel, Mm& mm) {
    cpu.emit(Event::kExitMmap, {mm.context.id});
    // Secondary MMUs go before the pages do (rule N22).
    mmu_notifier_release(cpu, kernel, mm);
    for (const auto& entry : mm.mmap)
        if (entry.second->has(VmFlags::kLocked)) munlock_vma_pages_all(cpu, kernel, *entry.second);
    const std::uint64_t cleared = unmap_all(cpu, kernel, mm);
    forget_sizes(mm);
    cpu.emit(Event::kExitMmapRet, {mm.context.id});
    return cleared;
}

/// The rest of __mmput(): swapoff need not look here any more.
void leave_mmlist(Cpu& cpu, KernelState& kernel, const Mm& mm) {
    if (!cpu.memory().load(mm.mmlist, Part::kPageState).value) return;
    kernel.mmlist_lock.lock(cpu);
    cpu.memory().store(mm.mmlist, {}, Part::kPageState);
    kernel.mmlist_lock.unlock(cpu);
}

}  // namespace

std::uint64_t exit_mm(Cpu& cpu, KernelState& kernel, Mm& mm) {
    const OperationId call = begin_operation(cpu, OperationKind::kExit, 0);
    cpu.spend(cpu.costs().syscall_entry, Part::kSyscall);
    if (cpu.current && cpu.current->mm == &mm) clear_current_mm(cpu, kernel, mm);
    const std::uint64_t cleared = exit_mmap(cpu, kernel, mm);
    leave_mmlist(cpu, kernel, mm);
    end_operation(cpu, call, OperationKind::kExit, Outcome::kDone, cleared);
    return cleared;
}

}  // namespace mmusim::rmap
