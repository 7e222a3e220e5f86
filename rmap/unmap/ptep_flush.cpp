// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/ptep_flush.hpp"

#include "rmap/mm/mmu_notifier.hpp"

namespace mmusim::rmap {

namespace {

/// pte_accessible(): a TLB may hold the entry. An entry that just became PROT_NONE may be in TLBs
/// as what it was before, until its flush.
bool pte_accessible(Cpu& cpu, const Mm& mm, Pte pte) {
    if (pte.valid()) return true;
    return pte.prot_none() && cpu.memory().load(mm.tlb_flush_pending, Part::kFlushPrepare).value;
}

/// ptep_test_and_clear_young(), which is ptep_clear_flush_young() of x86 too; `entered` is the
/// event of either.
bool test_and_clear_young(Cpu& cpu, const Vma& vma, VirtAddr address, PhysAddr ptep, Part part,
                          Event entered) {
    const Pte pte = pte_of(read_pte(cpu, ptep, part));
    cpu.emit(entered, {vma.vm_mm->context.id, address.value, ptep.value, pte.raw()});
    return pte.young() && pte_of(pte_clear_bits(cpu, ptep, Pte::kAccessed, part)).young();
}

bool ptep_clear_flush_young(Cpu& cpu, const Vma& vma, VirtAddr address, PhysAddr ptep, Part part) {
    const bool young =
        test_and_clear_young(cpu, vma, address, ptep, part, Event::kPtepClearFlushYoung);
    cpu.emit(Event::kPtepClearFlushYoungRet, {young ? 1u : 0u});
    return young;
}

}  // namespace

Word ptep_clear_flush(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                      PhysAddr ptep) {
    const MmContext& mm = vma.vm_mm->context;
    const Word old = cpu.memory().exchange(ptep, {}, Part::kPteAccess);
    const Pte pte = pte_of(old);
    cpu.emit(Event::kPtepClearFlush,
             {mm.id, address.value, ptep.value, pte.raw(), pte.frame().value, old.generation});
    if (pte_accessible(cpu, *vma.vm_mm, pte)) kernel.flush.flush_tlb_page(cpu, mm, address);
    cpu.emit(Event::kPtepClearFlushRet, {mm.id, address.value, pte.raw()});
    return old;
}

Word ptep_clear_defer(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep) {
    const Word old = cpu.memory().exchange(ptep, {}, Part::kPteAccess);
    const Pte pte = pte_of(old);
    cpu.emit(Event::kPteClearDefer, {mm.context.id, address.value, ptep.value, pte.raw(),
                                     pte.frame().value, old.generation});
    return old;
}

Word ptep_clear_flush_notify(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                             PhysAddr ptep) {
    const Word old = ptep_clear_flush(cpu, kernel, vma, address, ptep);
    mmu_notifier_invalidate_range(cpu, kernel, *vma.vm_mm, page_range(address));
    return old;
}

bool ptep_clear_flush_young_notify(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                                   PhysAddr ptep, Part part) {
    const bool young = ptep_clear_flush_young(cpu, vma, address, ptep, part);
    // The clients are asked whatever the CPU's own bit says, or what only they use is reclaimed.
    if (!young && kernel.config.fault == InjectedFault::kSkipSecondaryAging) return false;
    return mmu_notifier_clear_flush_young(cpu, kernel, *vma.vm_mm, page_range(address)) || young;
}

bool ptep_clear_young_notify(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                             PhysAddr ptep, Part part) {
    const bool young =
        test_and_clear_young(cpu, vma, address, ptep, part, Event::kPtepTestAndClearYoung);
    return mmu_notifier_clear_young(cpu, kernel, *vma.vm_mm, page_range(address)) || young;
}

}  // namespace mmusim::rmap
