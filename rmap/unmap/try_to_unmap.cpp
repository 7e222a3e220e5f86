// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/try_to_unmap.hpp"

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/unmap/ptep_flush.hpp"
#include "rmap/unmap/unmap_flush.hpp"
#include "rmap/unmap/unmap_section.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/rmap_walk.hpp"

namespace mmusim::rmap {

namespace {

/// One mapping that is being removed.
struct Unmapping {
    Page& page;
    Vma& vma;
    Mm& mm;
    VirtAddr address;
    PhysAddr ptep;
};

void emit_pte_set(Cpu& cpu, Event event, const Unmapping& at, Pte pte) {
    cpu.emit(event, {at.mm.context.id, at.address.value, at.ptep.value, pte.raw()});
}

/// is_vma_temporary_stack(): exec still moves this stack, and its page tables with it.
bool is_vma_temporary_stack(const Vma& vma) {
    return vma.has(VmFlags::kGrowsDown) && vma.has(VmFlags::kRandRead | VmFlags::kSeqRead);
}

/// Clears the entry and flushes it, now or at the end of the batch. Returns the old entry.
Word clear_and_flush(Cpu& cpu, KernelState& kernel, const Unmapping& at, TtuFlags flags) {
    if (!should_defer_flush(cpu, kernel, at.mm, flags))
        return ptep_clear_flush(cpu, kernel, at.vma, at.address, at.ptep);
    // A CPU that has a clean entry cached looks at the page table before it writes for the first
    // time; so only what the exchange returns as dirty can still be written.
    const Word old = cpu.memory().exchange(at.ptep, {}, Part::kPteAccess);
    const Pte pte = pte_of(old);
    cpu.emit(Event::kPteClearDefer, {at.mm.context.id, at.address.value, at.ptep.value, pte.raw(),
                                     pte.frame().value, old.generation});
    set_tlb_ubc_flush_pending(cpu, kernel, at.mm, at.address,
                              pte.dirty() ? WasDirty::kYes : WasDirty::kNo);
    return old;
}

/// Migration: leaves an entry at which faults wait.
void set_migration_entry(Cpu& cpu, const Unmapping& at, Pte old) {
    const Pte entry = Pte::migration_entry(at.page.pfn(), old.writable());
    set_pte_at(cpu, at.ptep, entry, 0);
    emit_pte_set(cpu, Event::kPteSetMigration, at, entry);
}

/// Puts the mm on mmlist, where swapoff would look for it.
void add_to_mmlist(Cpu& cpu, KernelState& kernel, const Mm& mm) {
    if (cpu.memory().load(mm.mmlist, Part::kPageState).value) return;
    kernel.mmlist_lock.lock(cpu);
    cpu.memory().store(mm.mmlist, {1, 0}, Part::kPageState);
    kernel.mmlist_lock.unlock(cpu);
}

/// Anonymous page: leaves its swap entry. False: its slot cannot be counted, the entry is restored.
bool set_swap_entry(Cpu& cpu, KernelState& kernel, const Unmapping& at, Word old,
                    UnmapSection& section) {
    const SwapEntry entry = at.page.swap;
    if (!kernel.swap.swap_duplicate(cpu, entry)) {
        set_pte_at(cpu, at.ptep, pte_of(old), old.generation);
        emit_pte_set(cpu, Event::kPteRestore, at, pte_of(old));
        return false;
    }
    add_to_mmlist(cpu, kernel, at.mm);
    add_mm_counter(cpu, at.mm, MmCounter::kAnonPages, -1);
    add_mm_counter(cpu, at.mm, MmCounter::kSwapEnts, +1);
    const Pte pte = Pte::swap_entry(entry.type, entry.offset);
    set_pte_at(cpu, at.ptep, pte, 0);
    emit_pte_set(cpu, Event::kPteSetSwap, at, pte);
    section.mmu_notifier_invalidate_range();
    return true;
}

bool try_to_unmap_one(Cpu& cpu, KernelState& kernel, Page& page, Vma& vma, VirtAddr address,
                      TtuFlags flags) {
    Mm& mm = *vma.vm_mm;
    bool ret = true;
    cpu.emit(Event::kTryToUnmapOne,
             {page.pfn().value, mm.context.id, address.value, static_cast<std::uint64_t>(flags)});
    cpu.spend(cpu.costs().try_to_unmap_one, Part::kPageState);

    // The section is open even if nothing turns out to be mapped here: whether something is, is
    // known only under the page-table lock, where a notifier may not sleep.
    UnmapSection section(cpu, kernel, page, mm, address);
    section.mmu_notifier_invalidate_range_start();

    PageVmaMappedWalk pvmw{page, vma, address};
    while (page_vma_mapped_walk(cpu, kernel, pvmw)) {
        const Unmapping at{page, vma, mm, pvmw.address, pvmw.slot.ptep};
        section.inject_start_under_lock();

        if (!has(flags, TtuFlags::kIgnoreAccess) &&
            ptep_clear_flush_young_notify(cpu, kernel, vma, at.address, at.ptep,
                                          Part::kPteAccess)) {
            ret = false;
            page_vma_mapped_walk_done(cpu, pvmw);
            break;
        }

        section.inject_invalidate_before_clear(flags);
        const Word old = clear_and_flush(cpu, kernel, at, flags);
        if (pte_of(old).dirty()) set_page_dirty(cpu, page);
        update_hiwater_rss(cpu, mm);

        if (has(flags, TtuFlags::kMigration)) {
            set_migration_entry(cpu, at, pte_of(old));
        } else if (page_is_anon(cpu, page)) {
            if (!set_swap_entry(cpu, kernel, at, old, section)) {
                ret = false;
                page_vma_mapped_walk_done(cpu, pvmw);
                break;
            }
        } else {
            // Page of a file. No invalidate_range: the locked page stays in the page cache, so
            // nothing else can take its place at this address before the section ends.
            add_mm_counter(cpu, mm, mm_counter(cpu, page), -1);
        }

        page_remove_rmap(cpu, page);
        put_page(cpu, kernel, page);
    }

    section.mmu_notifier_invalidate_range_end();
    cpu.emit(Event::kTryToUnmapOneRet, {ret ? 1u : 0u});
    return ret;
}

}  // namespace

bool try_to_unmap(Cpu& cpu, KernelState& kernel, Page& page, TtuFlags flags) {
    cpu.emit(Event::kTryToUnmap, {page.pfn().value, static_cast<std::uint64_t>(flags)});

    const auto unmap_one = [&](Vma& vma, VirtAddr address) {
        return try_to_unmap_one(cpu, kernel, page, vma, address, flags);
    };
    const auto page_mapcount_is_zero = [&] { return !page_mapped(cpu, page); };
    RmapWalkControl control{unmap_one, AnonLock::kPageLockAnonVmaRead, page_mapcount_is_zero, {}};
    const auto temporary_stack = [](const Vma& vma) { return is_vma_temporary_stack(vma); };
    if (has(flags, TtuFlags::kMigration) && page_is_anon(cpu, page))
        control.invalid_vma = temporary_stack;
    rmap_walk(cpu, kernel, page, control);

    const bool unmapped = !page_mapped(cpu, page);
    cpu.emit(Event::kTryToUnmapRet, {unmapped ? 1u : 0u});
    return unmapped;
}

}  // namespace mmusim::rmap
