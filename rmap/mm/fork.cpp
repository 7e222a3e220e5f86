// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fork.hpp"

#include "rmap/mm/fork_ptes.hpp"
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/vma_adjust.hpp"

namespace mmusim::rmap {

namespace {

/// The child's copy of one VMA.
void dup_vma(Cpu& cpu, KernelState& kernel, Mm& mm, const Vma& mpnt) {
    auto tmp = vm_area_dup(cpu, kernel, mpnt);
    tmp->vm_mm = &mm;
    anon_vma_fork(cpu, kernel, *tmp, mpnt);
    set_vm_flags(cpu, *tmp, tmp->vm_flags & ~(VmFlags::kLocked | VmFlags::kLockOnFault));
    if (AddressSpace* file = tmp->vm_file) {
        i_mmap_lock_write(cpu, *file);
        file->i_mmap.insert_after(*tmp, tmp->first_pgoff(), tmp->last_pgoff(), mpnt);
        i_mmap_unlock_write(cpu, *file);
    }
    copy_page_range(cpu, kernel, link_vma(mm, std::move(tmp)), mpnt);
}

void dup_mmap(Cpu& cpu, KernelState& kernel, Mm& mm, Mm& oldmm) {
    mmap_sem_lock_write(cpu, oldmm);
    mmap_sem_lock_write(cpu, mm);
    mm.total_vm = oldmm.total_vm;
    mm.data_vm = oldmm.data_vm;
    mm.exec_vm = oldmm.exec_vm;
    mm.stack_vm = oldmm.stack_vm;
    mm.start_code = oldmm.start_code;
    mm.end_code = oldmm.end_code;
    for (const auto& entry : oldmm.mmap) dup_vma(cpu, kernel, mm, *entry.second);
    mmap_sem_unlock_write(cpu, mm);
    // The parent's writable entries were write-protected and are still in its TLBs.
    kernel.flush.flush_tlb_mm(cpu, oldmm.context);
    mmap_sem_unlock_write(cpu, oldmm);
}

}  // namespace

void dup_mm(Cpu& cpu, KernelState& kernel, Mm& mm, Mm& oldmm) {
    Syscall call(cpu, OperationKind::kFork, 0);
    dup_mmap(cpu, kernel, mm, oldmm);
    cpu.memory().store(mm.hiwater_rss, {get_mm_rss(cpu, mm), 0}, Part::kPageState);
    mm.hiwater_vm = mm.total_vm;
    call.exit(mm.total_vm);
}

}  // namespace mmusim::rmap
