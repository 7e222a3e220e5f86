// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fault.hpp"

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/vm_fault.hpp"

namespace mmusim::rmap {

namespace {

/// access_error()
bool access_error(const Vma& vma, Access access) {
    if (access == Access::kWrite) return !vma.has(VmFlags::kWrite);
    return !(vma.vm_flags & VmFlags::kAccessFlags);
}

void handle_pte_fault(VmFault& vmf) {
    vmf.slot = pte_alloc(vmf.cpu, vmf.kernel, vmf.mm, vmf.address, Part::kFault);
    vmf.orig_pte = read_pte(vmf.cpu, vmf.slot.ptep);
    const Pte pte = pte_of(vmf.orig_pte);
    if (pte.none()) return vmf.vma.is_anonymous() ? do_anonymous_page(vmf) : do_fault(vmf);
    if (!pte.present()) return do_swap_page(vmf);

    vmf.lock();
    if (vmf.pte_same()) {
        if (vmf.write() && !pte.writable()) return do_wp_page(vmf);
        set_access_flags(vmf);
    }
    vmf.unlock();
}

}  // namespace

bool VmFault::pte_same() { return read_pte(cpu, slot.ptep).value == orig_pte.value; }

void VmFault::set_pte(Pte pte, Generation generation) {
    set_pte_at(cpu, slot.ptep, pte, generation);
    cpu.emit(Event::kPteSet, {mm.context.id, address.value, slot.ptep.value, pte.raw(),
                              pte.present() ? pte.frame().value : 0, generation});
}

void VmFault::set_pte_notify(Pte pte, Generation generation) {
    mmu_notifier_change_pte(cpu, kernel, mm, address, pte, generation);
    set_pte(pte, generation);
}

Pte VmFault::mk_pte(FrameNumber frame, Mkwrite mkwrite) const {
    const Pte pte = Pte::present_entry(frame, vma.page_prot());
    return mkwrite == Mkwrite::kYes && vma.has(VmFlags::kWrite)
               ? pte.with(Pte::kDirty | Pte::kWritable)
               : pte;
}

Page& VmFault::alloc_page(GfpFlags gfp) {
    Page& page = kernel.pages.alloc_page(cpu, kernel.node_of(cpu), gfp);
    page.memcg = mm.memcg;
    return page;
}

bool VmFault::lock_page_or_retry(Page& page) {
    if (trylock_page(cpu, page)) return true;
    if (!has(flags, FaultFlags::kAllowRetry)) {
        lock_page(cpu, page);
        return true;
    }
    mmap_sem_unlock_read(cpu, mm);
    wait_on_page_locked(cpu, page);
    result = FaultResult::kRetry;
    return false;
}

void VmFault::emit_set_access_flags(Pte entry) {
    cpu.emit(Event::kPtepSetAccessFlags,
             {mm.context.id, address.value, slot.ptep.value, entry.raw()});
}

void set_access_flags(VmFault& vmf) {
    const Pte pte = pte_of(vmf.orig_pte);
    const std::uint64_t bits = Pte::kAccessed | (vmf.write() ? Pte::kDirty : 0);
    vmf.emit_set_access_flags(pte.with(bits));
    if ((pte.raw() & bits) == bits || !vmf.write()) return;
    pte_set_bits(vmf.cpu, vmf.slot.ptep, bits);
}

void do_anonymous_page(VmFault& vmf) {
    if (!vmf.write()) {
        // Nothing was ever written here: all such pages are the zero page, until they are.
        vmf.lock();
        if (pte_of(read_pte(vmf.cpu, vmf.slot.ptep)).none())
            vmf.set_pte(vmf.mk_pte(vmf.kernel.zero_page, VmFault::Mkwrite::kNo).with(Pte::kSpecial),
                        0);
        vmf.unlock();
        return;
    }
    anon_vma_prepare(vmf.cpu, vmf.kernel, vmf.vma);
    Page& page = vmf.alloc_page(GfpFlags::kZero);
    page.set(vmf.cpu, PageFlag::kUptodate);
    vmf.lock();
    if (!pte_of(read_pte(vmf.cpu, vmf.slot.ptep)).none()) {
        vmf.unlock();
        put_page(vmf.cpu, vmf.kernel, page);
        return;
    }
    add_mm_counter_fast(vmf.cpu, vmf.mm, MmCounter::kAnonPages, 1);
    page_add_new_anon_rmap(vmf.cpu, vmf.kernel, page, vmf.vma, vmf.address);
    lru_cache_add_active_or_unevictable(vmf.cpu, vmf.kernel, page, vmf.vma);
    vmf.set_pte(vmf.mk_pte(page.pfn(), VmFault::Mkwrite::kYes), page.generation);
    vmf.unlock();
}

FaultResult handle_mm_fault(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Access access,
                            FaultFlags flags) {
    cpu.spend(cpu.costs().fault_handle, Part::kFault);
    Vma* vma = mm.find_vma(address);
    if (!vma) return FaultResult::kBadArea;
    if (access_error(*vma, access)) return FaultResult::kBadAccess;
    kernel.vm_events.count(cpu, mm.memcg, VmEvent::kPgFault);
    if (access == Access::kWrite) flags = flags | FaultFlags::kWrite;
    cpu.emit(Event::kHandleMmFault,
             {mm.context.id, address.value, static_cast<std::uint64_t>(flags)});
    check_sync_rss_stat(cpu);
    VmFault vmf{cpu, kernel, mm, *vma, page_start(address), access, flags};
    handle_pte_fault(vmf);
    return vmf.result;
}

FaultResult handle_page_fault(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address,
                              Access access) {
    const OperationId call = begin_operation(cpu, OperationKind::kPageFault, 1);
    cpu.spend(cpu.costs().fault_entry, Part::kFault);
    cpu.emit(Event::kPageFault, {mm.context.id, address.value, access == Access::kWrite ? 1u : 0u});
    constexpr FaultFlags kFirst = FaultFlags::kKillable | FaultFlags::kUser;
    mmap_sem_lock_read(cpu, mm);
    FaultResult result =
        handle_mm_fault(cpu, kernel, mm, address, access, kFirst | FaultFlags::kAllowRetry);
    if (result == FaultResult::kRetry) {
        mmap_sem_lock_read(cpu, mm);
        result = handle_mm_fault(cpu, kernel, mm, address, access, kFirst | FaultFlags::kTried);
    }
    mmap_sem_unlock_read(cpu, mm);
    cpu.emit(Event::kPageFaultRet);
    cpu.spend(cpu.costs().fault_exit, Part::kFault);
    end_operation(cpu, call, OperationKind::kPageFault, Outcome::kDone, 1);
    return result;
}

}  // namespace mmusim::rmap
