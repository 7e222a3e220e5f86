// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/oom_reap.hpp"

#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/zap.hpp"

namespace mmusim::rmap {

namespace {

/// can_madv_dontneed_vma() leaves locked memory out. Pages of shared mappings stay with whoever
/// shares them, so taking them frees little.
bool may_reap(const Vma& vma) {
    return !vma.has(VmFlags::kLocked) && (vma.is_anonymous() || !vma.has(VmFlags::kShared));
}

/// One VMA. False: a client refused.
bool reap_vma(Cpu& cpu, KernelState& kernel, Vma& vma, std::uint64_t& cleared) {
    Mm& mm = *vma.vm_mm;
    const NotifierRange range{mm.context.id, vma.range(), false};
    MmuGather tlb(cpu, kernel, mm, range.range);
    const StartResult started = mmu_notifier_invalidate_range_start_nonblock(cpu, kernel, range);
    if (started == StartResult::kDone)
        cleared += unmap_page_range(cpu, kernel, tlb, vma, range.range);
    // What was refused was not started. InjectedFault::kEndAfterRefusal ends it all the same.
    if (started == StartResult::kDone || kernel.config.fault == InjectedFault::kEndAfterRefusal)
        mmu_notifier_invalidate_range_end(cpu, kernel, range);
    tlb.finish();
    return started == StartResult::kDone;
}

/// __oom_reap_task_mm()
OomReapResult reap_vmas(Cpu& cpu, KernelState& kernel, Mm& mm) {
    OomReapResult result{true, 0};
    for (const auto& entry : mm.mmap) {
        Vma& vma = *entry.second;
        if (may_reap(vma) && !reap_vma(cpu, kernel, vma, result.pages)) result.reaped = false;
    }
    return result;
}

}  // namespace

OomReapResult oom_reap_task_mm(Cpu& cpu, KernelState& kernel, Mm& mm) {
    const OperationId call = begin_operation(cpu, OperationKind::kOomReap, 0);
    OomReapResult result;
    Outcome outcome = Outcome::kAbandoned;
    // Its owner may be the one who needs the memory.
    if (mmap_sem_trylock_read(cpu, mm)) {
        result = reap_vmas(cpu, kernel, mm);
        mmap_sem_unlock_read(cpu, mm);
        outcome = Outcome::kDone;
    }
    end_operation(cpu, call, OperationKind::kOomReap, outcome, result.pages);
    return result;
}

}  // namespace mmusim::rmap
