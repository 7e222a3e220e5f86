// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mprotect.hpp"

#include <algorithm>
#include <optional>

#include "rmap/mm/gup.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/vma_merge.hpp"
#include "rmap/unmap/unmap_flush.hpp"

namespace mmusim::rmap {

namespace {

/// ptep_modify_prot_start() to ptep_modify_prot_commit(): the entry is empty meanwhile, so that no
/// accessed or dirty bit that hardware sets gets lost.
void change_present_pte(Cpu& cpu, const Vma& vma, VirtAddr address, PhysAddr ptep) {
    const Word old = ptep_get_and_clear(cpu, *vma.vm_mm, address, ptep);
    Pte pte = pte_of(old).modified(vma.page_prot());
    // A page that is known to be dirty needs no fault to say so.
    if (vma.wants_writenotify() && pte.dirty()) pte = pte.with(Pte::kWritable);
    set_present_pte(cpu, *vma.vm_mm, address, ptep, pte, old.generation);
}

/// One entry of change_pte_range(). Returns whether it changed.
bool change_pte(Cpu& cpu, const Vma& vma, VirtAddr address, PhysAddr ptep) {
    const Pte old = pte_of(read_pte(cpu, ptep));
    if (old.present()) {
        change_present_pte(cpu, vma, address, ptep);
        return true;
    }
    if (!old.migration_writable()) return false;
    // Whether the new protection allows writing is decided by a fault, once the page is there.
    set_pte_at(cpu, ptep, Pte::migration_entry(old.migration_frame(), false), 0);
    return true;
}

/// change_pte_range(): one page table.
std::uint64_t change_pte_range(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtRange range,
                               const PteSlot& first) {
    std::uint64_t pages = 0;
    pte_lock(cpu, *first.table);
    flush_tlb_batched_pending(cpu, kernel, *vma.vm_mm);
    PhysAddr ptep = first.ptep;
    for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
        pages += change_pte(cpu, vma, address, ptep);
        ptep = ptep + 8;
    }
    pte_unlock(cpu, *first.table);
    return pages;
}

/// change_pmd_range(): what one page of PMDs covers. The section begins at its first page table, so
/// that a range without any has none.
std::uint64_t change_pmd_range(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtRange range) {
    std::optional<NotifierRange> section;
    std::uint64_t pages = 0;
    for (VirtAddr address = range.start; address < range.end;) {
        const VirtAddr next = pmd_addr_end(address, range.end);
        if (const auto slot = find_pte(cpu, kernel, *vma.vm_mm, address, Part::kPageWalk)) {
            if (!section) {
                section = NotifierRange{vma.vm_mm->context.id, {address, range.end}, true};
                mmu_notifier_invalidate_range_start(cpu, kernel, *section);
            }
            pages += change_pte_range(cpu, kernel, vma, {address, next}, *slot);
        }
        address = next;
    }
    if (section) mmu_notifier_invalidate_range_end(cpu, kernel, *section);
    return pages;
}

/// What do_mprotect_pkey() carries along.
struct Mprotect {
    Cpu& cpu;
    KernelState& kernel;
    Mm& mm;
    std::uint64_t prot;
    RangeResult result;
};

/// mprotect_fixup(): the part of one VMA. Returns the VMA that has it then.
Vma& mprotect_fixup(Mprotect& in, Vma& old_vma, VirtRange range, std::uint64_t newflags) {
    const std::uint64_t oldflags = old_vma.vm_flags;
    if (newflags == oldflags) return old_vma;
    constexpr auto kNotCharged = VmFlags::kAccount | VmFlags::kWrite | VmFlags::kShared;
    if (newflags & VmFlags::kWrite && !(oldflags & kNotCharged)) newflags |= VmFlags::kAccount;

    Vma& vma = vma_modify(in.cpu, in.kernel, old_vma, range, newflags);
    set_vm_flags(in.cpu, vma, newflags);
    in.result.pages += change_protection(in.cpu, in.kernel, vma, range);
    // Locked private memory is copied now rather than by faults.
    constexpr auto kCopied = VmFlags::kWrite | VmFlags::kShared | VmFlags::kLocked;
    if ((oldflags & kCopied) == VmFlags::kLocked && newflags & VmFlags::kWrite)
        populate_vma_page_range(in.cpu, in.kernel, vma, range);
    const auto pages = static_cast<std::int64_t>(range.pages());
    vm_stat_account(in.mm, oldflags, -pages);
    vm_stat_account(in.mm, newflags, pages);
    return vma;
}

/// The loop of do_mprotect_pkey() over the VMAs of the range.
Errno mprotect_range(Mprotect& in, VirtRange range) {
    Vma* vma = in.mm.find_vma(range.start);
    for (VirtAddr start = range.start; start < range.end;) {
        if (!vma || vma->vm_start > start) return Errno::kNoMemory;
        const std::uint64_t newflags = in.prot | (vma->vm_flags & ~VmFlags::kAccessFlags);
        // VM_MAY* are the same flags, four bits further up.
        if (newflags & ~(newflags >> 4) & VmFlags::kAccessFlags) return Errno::kAccess;
        const VirtAddr end = std::min(vma->vm_end, range.end);
        const Vma& changed = mprotect_fixup(in, *vma, {start, end}, newflags);
        start = std::max(end, changed.vm_end);
        vma = in.mm.next(changed);
    }
    return Errno::kNone;
}

}  // namespace

std::uint64_t change_protection(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range) {
    const Mm& mm = *vma.vm_mm;
    std::uint64_t pages = 0;
    cpu.emit(Event::kChangeProtectionRange, {mm.context.id, range.start.value, range.end.value});
    cpu.memory().fetch_add(mm.tlb_flush_pending, 1, Part::kFlushPrepare);
    for (VirtAddr address = range.start; address < range.end;) {
        const VirtAddr next = pud_addr_end(address, range.end);
        pages += change_pmd_range(cpu, kernel, vma, {address, next});
        address = next;
    }
    // Behind the ends of the sections; clients that use the CPU's tables were told there.
    if (pages > 0) kernel.flush.flush_tlb_mm_range(cpu, mm.context, range, kPageShift, false);
    cpu.memory().fetch_add(mm.tlb_flush_pending, -1, Part::kFlushPrepare);
    return pages;
}

RangeResult mprotect(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, std::uint64_t prot) {
    Syscall call(cpu, OperationKind::kMprotect, range.pages());
    Mprotect in{cpu, kernel, mm, prot, {}};
    mmap_sem_lock_write(cpu, mm);
    in.result.error = mprotect_range(in, range);
    mmap_sem_unlock_write(cpu, mm);
    call.exit(in.result.pages);
    return in.result;
}

}  // namespace mmusim::rmap
