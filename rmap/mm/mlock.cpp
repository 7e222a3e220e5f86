// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mlock.hpp"

#include <algorithm>
#include <vector>

#include "rmap/mm/gup.hpp"
#include "rmap/mm/mlock_page.hpp"
#include "rmap/mm/mmap.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/vma_merge.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t kLockedMask = VmFlags::kLocked | VmFlags::kLockOnFault;  // VM_LOCKED_MASK

// ---- munlock of a pagevec; mmap_sem held for writing ----

/// __munlock_pagevec_fill(): adds the pages that follow the one at `start`, as long as they are on
/// its node and in its page table. Returns where to go on.
VirtAddr munlock_pagevec_fill(Cpu& cpu, KernelState& kernel, Pagevec& pvec, const Vma& vma,
                              VirtRange range) {
    const VirtAddr end = pmd_addr_end(range.start, range.end);
    const NodeId nid = pvec.pages.front()->nid();
    // The page before was found there, and mmap_sem keeps the table.
    const PteSlot slot = *find_pte(cpu, kernel, *vma.vm_mm, range.start, Part::kPageWalk);
    pte_lock(cpu, *slot.table);
    VirtAddr address = range.start + kPageSize;
    for (PhysAddr ptep = slot.ptep + 8; address < end && !pvec.full(); ptep = ptep + 8) {
        const Pte pte = pte_of(read_pte(cpu, ptep));
        Page* page = pte.present() ? vm_normal_page(kernel, pte) : nullptr;
        if (!page || page->nid() != nid) break;
        get_page(cpu, *page);
        pvec.pages.push_back(page);
        address = address + kPageSize;
    }
    pte_unlock(cpu, *slot.table);
    return address;
}

/// Phase 1: PG_mlocked goes, and those that are on their list are isolated with the reference that
/// they have. The others are moved to `putback`.
void isolate_mlocked(Cpu& cpu, KernelState& kernel, Pagevec& pvec, Pagevec& putback) {
    const InterruptsOff irq(cpu.time());
    Lock& lru_lock = kernel.lru.lru_lock(pvec.pages.front()->nid());
    lru_lock.lock(cpu);
    Pagevec isolated;
    for (Page* page : pvec.pages) {
        const bool was_mlocked = page->test_and_clear(cpu, PageFlag::kMlocked);
        const bool taken = was_mlocked && kernel.lru.munlock_isolate_lru_page(cpu, *page);
        (taken ? isolated : putback).pages.push_back(page);
    }
    lru_lock.unlock(cpu);
    pvec.pages.swap(isolated.pages);
}

/// __munlock_pagevec(): the pages are of one node.
void munlock_pagevec(Cpu& cpu, KernelState& kernel, Pagevec& pvec) {
    Pagevec putback;
    isolate_mlocked(cpu, kernel, pvec, putback);
    pagevec_release(cpu, kernel, putback);

    // Phase 2. Pages that only this VMA maps need no walk (__putback_lru_fast_prepare()).
    Pagevec fast;
    for (Page* page : pvec.pages) {
        lock_page(cpu, *page);
        if (page->mapcount(cpu) <= 1 && page_evictable(cpu, *page)) {
            fast.pages.push_back(page);
            unlock_page(cpu, *page);
            continue;
        }
        get_page(cpu,
                 *page);  // for putback_lru_page(): the other one is dropped once it is unlocked
        munlock_isolated_page(cpu, kernel, *page);
        unlock_page(cpu, *page);
        put_page(cpu, kernel, *page);
    }

    // Phase 3: __putback_lru_fast()
    pagevec_lru_add(cpu, kernel, fast);
}

// ---- the system calls ----

/// mlock_fixup(): the part of the VMA that is in `range` gets the flags. mmap_sem held for writing.
/// Returns the VMA that has it then.
Vma& mlock_fixup(Cpu& cpu, KernelState& kernel, Vma& old_vma, VirtRange range,
                 std::uint64_t newflags) {
    if (newflags == old_vma.vm_flags) return old_vma;
    Mm& mm = *old_vma.vm_mm;
    const bool lock = newflags & VmFlags::kLocked;
    const bool was_locked = old_vma.has(VmFlags::kLocked);
    Vma& vma = vma_modify(cpu, kernel, old_vma, range, newflags);

    if (!lock)
        mm.locked_vm -= range.pages();
    else if (!was_locked)
        mm.locked_vm += range.pages();

    // Whoever unmaps a page right after this does no harm: populating brings it back.
    if (lock)
        set_vm_flags(cpu, vma, newflags);
    else
        munlock_vma_pages_range(cpu, kernel, vma, range);
    return vma;
}

/// apply_vma_lock_flags(): `flags` are those of VM_LOCKED_MASK that the VMAs of the range shall
/// have. mmap_sem held for writing.
Errno apply_vma_lock_flags(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range,
                           std::uint64_t flags) {
    Vma* vma = mm.find_vma(range.start);
    for (VirtAddr start = range.start; start < range.end;) {
        if (!vma || vma->vm_start > start) return Errno::kNoMemory;
        const VirtAddr end = std::min(vma->vm_end, range.end);
        const std::uint64_t newflags = (vma->vm_flags & ~kLockedMask) | flags;
        const Vma& changed = mlock_fixup(cpu, kernel, *vma, {start, end}, newflags);
        start = std::max(end, changed.vm_end);
        vma = mm.next(changed);
    }
    return Errno::kNone;
}

}  // namespace

void munlock_vma_pages_range(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range) {
    set_vm_flags(cpu, vma, vma.vm_flags & ~kLockedMask);
    for (VirtAddr start = range.start; start < range.end;) {
        const auto found = follow_page(cpu, kernel, vma, start, FollFlags::kGet | FollFlags::kDump,
                                       Part::kPageWalk);
        if (!found) {
            start = start + kPageSize;
            continue;
        }
        Pagevec pvec;
        pvec.pages.push_back(&kernel.pages.pfn_to_page(found->frame));
        start = munlock_pagevec_fill(cpu, kernel, pvec, vma, {start, range.end});
        munlock_pagevec(cpu, kernel, pvec);
    }
}

Errno mlock(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, MlockFlags flags) {
    const std::uint64_t on_fault = flags == MlockFlags::kOnFault ? VmFlags::kLockOnFault : 0;
    Syscall call(cpu, OperationKind::kMlock, range.pages());
    mmap_sem_lock_write(cpu, mm);
    Errno result = apply_vma_lock_flags(cpu, kernel, mm, range, VmFlags::kLocked | on_fault);
    mmap_sem_unlock_write(cpu, mm);
    if (result == Errno::kNone && !mm_populate(cpu, kernel, mm, range)) result = Errno::kNoMemory;
    call.exit(range.pages());
    return result;
}

Errno munlock(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    Syscall call(cpu, OperationKind::kMunlock, range.pages());
    mmap_sem_lock_write(cpu, mm);
    const Errno result = apply_vma_lock_flags(cpu, kernel, mm, range, 0);
    mmap_sem_unlock_write(cpu, mm);
    call.exit(range.pages());
    return result;
}

}  // namespace mmusim::rmap
