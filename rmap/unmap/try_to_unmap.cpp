// SPDX-License-Identifier: Apache-2.0
// The steps carry the names that section 6 of the kernel reference gives them (S1, H2, B4f ...).
// Not on x86: H9 (flush_cache_page() does nothing), B2 (s390), B4e (sparc). Not modelled: S2 and H7
// (device memory), S3, H1 and H4 (huge PMDs), H6 (hugetlb), B1 (poison).
#include "rmap/unmap/try_to_unmap.hpp"

#include "rmap/mm/mlock_page.hpp"
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/unmap/ptep_flush.hpp"
#include "rmap/unmap/unmap_flush.hpp"
#include "rmap/unmap/unmap_section.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/walk_users.hpp"

namespace mmusim::rmap {

namespace {

/// One mapping that was hit, its page-table lock held.
struct Hit {
    Page& page;
    Vma& vma;
    Mm& mm;
    VirtAddr address;
    PhysAddr ptep;
};

/// Where try_to_unmap_one() goes on after a hit.
enum class Then {
    kNext,       ///< to the next hit
    kStopFalse,  ///< nowhere: it returns false
};

// In the order in which they call each other.
Then unmap_hit(Cpu& cpu, KernelState& kernel, const Hit& at, TtuFlags flags, UnmapSection& section);
Then unmap_anon(Cpu& cpu, KernelState& kernel, const Hit& at, Word old, UnmapSection& section);
void set_entry(Cpu& cpu, Event event, const Hit& at, Pte entry);
void restore_entry(Cpu& cpu, Event event, const Hit& at, Word old);
void warn_on_once(Cpu& cpu, KernelState& kernel, const Hit& at);
void add_to_mmlist(Cpu& cpu, KernelState& kernel, const Mm& mm);

}  // namespace

// ---- section 6.1: one VMA ----

bool try_to_unmap_one(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma, VirtAddr address,
                      const TtuFlags& flags) {
    const std::uint64_t vm_flags = read_vm_flags(cpu, vma);
    cpu.emit(Event::kTryToUnmapOne, {page.pfn().value, vma.vm_mm->context.id, address.value,
                                     static_cast<std::uint64_t>(flags), vm_flags});
    const auto return_ = [&cpu](bool ret) {
        cpu.emit(Event::kTryToUnmapOneRet, {ret ? 1u : 0u});
        return ret;
    };
    cpu.spend(cpu.costs().try_to_unmap_one, Part::kPageState);

    // S1: munlock has nothing to gain where nothing is locked.
    if (has(flags, TtuFlags::kMunlock) && !(vm_flags & VmFlags::kLocked)) return return_(true);

    // S4, S5: the section is open even if nothing turns out to be mapped here: whether something
    // is, is known only under the page-table lock, where a notifier may not sleep.
    UnmapSection section(cpu, kernel, page, vma, address);
    section.mmu_notifier_invalidate_range_start();

    // S6
    bool ret = true;
    PageVmaMappedWalk pvmw{page, vma, address};
    while (page_vma_mapped_walk(cpu, kernel, pvmw)) {
        const Hit at{page, vma, *vma.vm_mm, pvmw.address, pvmw.slot.ptep};
        if (unmap_hit(cpu, kernel, at, flags, section) == Then::kNext) continue;
        ret = false;
        page_vma_mapped_walk_done(cpu, pvmw);
        break;
    }

    // S7
    section.mmu_notifier_invalidate_range_end();
    // S8
    return return_(ret);
}

// ---- section 6.3: one mapping ----

namespace {

Then unmap_hit(Cpu& cpu, KernelState& kernel, const Hit& at, TtuFlags flags,
               UnmapSection& section) {
    section.inject_start_under_lock();

    if (!has(flags, TtuFlags::kIgnoreMlock)) {
        // H2: mlock() could not get hold of the page; it goes to the unevictable list now. The
        // page-table lock keeps the VMA locked, mmap_sem is not needed.
        if (read_vm_flags(cpu, at.vma) & VmFlags::kLocked) {
            mlock_vma_page(cpu, kernel, at.page);
            return Then::kStopFalse;
        }
        // H3: VM_LOCKED has vanished since S1.
        if (has(flags, TtuFlags::kMunlock)) return Then::kNext;
    }

    // H5: the subpage is the page, and the caller has taken the address from the walk.

    // H8: somebody has used it since page_referenced().
    if (!has(flags, TtuFlags::kIgnoreAccess) &&
        ptep_clear_flush_young_notify(cpu, kernel, at.vma, at.address, at.ptep, Part::kPteAccess))
        return Then::kStopFalse;

    // H10: cleared, and flushed now or later.
    section.inject_invalidate_before_clear(flags);
    Word old;
    if (should_defer_flush(cpu, kernel, at.mm, flags)) {
        old = ptep_clear_defer(cpu, at.mm, at.address, at.ptep);
        set_tlb_ubc_flush_pending(cpu, kernel, at.mm, at.address,
                                  pte_of(old).dirty() ? WasDirty::kYes : WasDirty::kNo);
    } else {
        old = ptep_clear_flush(cpu, kernel, at.vma, at.address, at.ptep);
    }
    // H11: what the entry knew of the page.
    if (pte_of(old).dirty()) set_page_dirty(cpu, kernel, at.page);
    // H12: before the counters fall.
    update_hiwater_rss(cpu, at.mm);

    // H13: what the entry becomes.
    if (has(flags, TtuFlags::kMigration)) {
        // B3: an entry at which faults wait. It counts as resident; nobody is told, because it
        // leads to no other page.
        set_entry(cpu, Event::kPteSetMigration, at,
                  Pte::migration_entry(at.page.pfn(), pte_of(old).writable()));
    } else if (page_is_anon(cpu, at.page)) {
        if (unmap_anon(cpu, kernel, at, old, section) == Then::kStopFalse) return Then::kStopFalse;
    } else {
        // B5: a page of a file. No invalidate_range: the locked page stays in the page cache, so
        // nothing else can take its place at this address before the section ends.
        add_mm_counter(cpu, at.mm, mm_counter(cpu, at.page), -1);
    }

    // D: discard
    page_remove_rmap(cpu, kernel, at.page);
    put_page(cpu, kernel, at.page);
    return Then::kNext;
}

// ---- section 6.5, B4: an anonymous page leaves a swap entry, or nothing if it may go ----

Then unmap_anon(Cpu& cpu, KernelState& kernel, const Hit& at, Word old, UnmapSection& section) {
    const std::uint64_t flags = at.page.flags(cpu);
    const bool swap_backed = has(flags, PageFlag::kSwapBacked);
    const bool swap_cache = swap_backed && has(flags, PageFlag::kSwapCache);

    // B4a: nowhere to write it to. The entry is lost, and the mapping stays counted for ever
    // (hazard HZ2).
    if (swap_backed != swap_cache) {
        warn_on_once(cpu, kernel, at);
        section.mmu_notifier_invalidate_range();
        return Then::kStopFalse;
    }

    if (!swap_backed) {
        // B4b: MADV_FREE, and nobody has written to it since.
        if (!has(flags, PageFlag::kDirty)) {
            section.mmu_notifier_invalidate_range();
            add_mm_counter(cpu, at.mm, MmCounter::kAnonPages, -1);
            return Then::kNext;
        }
        // B4c: written again, so it has to stay.
        restore_entry(cpu, Event::kPteRestoreLazyfree, at, old);
        at.page.set(cpu, PageFlag::kSwapBacked);
        return Then::kStopFalse;
    }

    // B4d: the slot's map count cannot be raised.
    const SwapEntry entry = at.page.swap;
    if (!kernel.swap.swap_duplicate(cpu, entry)) {
        restore_entry(cpu, Event::kPteRestore, at, old);
        return Then::kStopFalse;
    }

    // B4f: the content goes to its slot.
    add_to_mmlist(cpu, kernel, at.mm);
    add_mm_counter(cpu, at.mm, MmCounter::kAnonPages, -1);
    add_mm_counter(cpu, at.mm, MmCounter::kSwapEnts, +1);
    set_entry(cpu, Event::kPteSetSwap, at, Pte::swap_entry(entry.type, entry.offset));
    section.mmu_notifier_invalidate_range();
    return Then::kNext;
}

// ---- what the steps do to the entry, and to the mm ----

void emit_pte_set(Cpu& cpu, Event event, const Hit& at, Pte pte) {
    cpu.emit(event, {at.mm.context.id, at.address.value, at.ptep.value, pte.raw()});
}

void set_entry(Cpu& cpu, Event event, const Hit& at, Pte entry) {
    set_pte_at(cpu, at.ptep, entry, 0);
    emit_pte_set(cpu, event, at, entry);
}

/// Puts the old entry back. What TLBs may still hold of it is true again.
void restore_entry(Cpu& cpu, Event event, const Hit& at, Word old) {
    set_pte_at(cpu, at.ptep, pte_of(old), old.generation);
    emit_pte_set(cpu, event, at, pte_of(old));
}

/// WARN_ON_ONCE(). Two CPUs that come at the same time may both warn, as in the kernel.
void warn_on_once(Cpu& cpu, KernelState& kernel, const Hit& at) {
    if (cpu.memory().load(kernel.swapbacked_warned, Part::kPageState).value) return;
    cpu.memory().store(kernel.swapbacked_warned, {1, 0}, Part::kPageState);
    cpu.emit(Event::kWarnSwapBacked,
             {at.page.pfn().value, at.mm.context.id, at.address.value, at.ptep.value});
}

/// Puts the mm on mmlist, where swapoff would look for it.
void add_to_mmlist(Cpu& cpu, KernelState& kernel, const Mm& mm) {
    if (cpu.memory().load(mm.mmlist, Part::kPageState).value) return;
    kernel.mmlist_lock.lock(cpu);
    cpu.memory().store(mm.mmlist, {1, 0}, Part::kPageState);
    kernel.mmlist_lock.unlock(cpu);
}

/// is_vma_temporary_stack(): exec still moves this stack, and its page tables with it.
bool is_vma_temporary_stack(std::uint64_t vm_flags) {
    constexpr std::uint64_t kIncomplete = VmFlags::kRandRead | VmFlags::kSeqRead;
    return (vm_flags & VmFlags::kGrowsDown) && (vm_flags & kIncomplete) == kIncomplete;
}

}  // namespace

// ---- the walks ----

bool page_mapcount_is_zero(Cpu& cpu, const Page& page) { return page.mapcount(cpu) == 0; }
bool page_not_mapped(Cpu& cpu, const Page& page) { return !page_mapped(cpu, page); }

bool invalid_migration_vma(Cpu& cpu, const Vma& vma, const TtuFlags&) {
    return is_vma_temporary_stack(read_vm_flags(cpu, vma));
}

bool try_to_unmap(Cpu& cpu, KernelState& kernel, Page& page, TtuFlags flags) {
    cpu.emit(Event::kTryToUnmap, {page.pfn().value, static_cast<std::uint64_t>(flags)});

    // Everybody else may unmap such a stack: exec faults it in again.
    auto user = walk_users::try_to_unmap;
    if (!has(flags, TtuFlags::kMigration) || !page_is_anon(cpu, page))
        user.invalid_vma = walk_users::none;
    const TtuFlags& arg = flags;
    rmap_walk(cpu, kernel, page, user, arg);

    const bool unmapped = page.mapcount(cpu) == 0;
    cpu.emit(Event::kTryToUnmapRet, {unmapped ? 1u : 0u});
    return unmapped;
}

void try_to_munlock(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kTryToMunlock, {page.pfn().value});
    constexpr TtuFlags kFlags = TtuFlags::kMunlock;
    rmap_walk(cpu, kernel, page, walk_users::try_to_munlock, kFlags);
    cpu.emit(Event::kTryToMunlockRet);
}

}  // namespace mmusim::rmap
