// SPDX-License-Identifier: Apache-2.0
#include "rmap/walk/page_vma_mapped_walk.hpp"

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

namespace {

/// The unlocked look of map_pte(): whether the entry is worth the lock. An entry that somebody else
/// is just clearing is missed here although it still counts (hazard HZ13).
bool worth_locking(const PageVmaMappedWalk& pvmw, Pte pte) {
    return has(pvmw.flags, PvmwFlags::kMigration) ? pte.swap_type() : pte.present();
}

bool check_pte(const PageVmaMappedWalk& pvmw, Pte pte) {
    if (has(pvmw.flags, PvmwFlags::kMigration))
        return pte.migration() && pte.migration_frame() == pvmw.page.pfn();
    return pte.present() && pte.frame() == pvmw.page.pfn();
}

/// Everything but the events. On a hit the page-table lock is held.
bool find_mapping(Cpu& cpu, KernelState& kernel, PageVmaMappedWalk& pvmw) {
    const auto slot = find_pte(cpu, kernel, *pvmw.vma.vm_mm, pvmw.address, Part::kRmapWalk);
    if (!slot) return false;
    if (!has(pvmw.flags, PvmwFlags::kSync) &&
        !worth_locking(pvmw, pte_of(read_pte(cpu, slot->ptep))))
        return false;
    pte_lock(cpu, *slot->table);
    if (!check_pte(pvmw, pte_of(read_pte(cpu, slot->ptep)))) {
        pte_unlock(cpu, *slot->table);
        return false;
    }
    pvmw.slot = *slot;
    return true;
}

}  // namespace

bool page_vma_mapped_walk(Cpu& cpu, KernelState& kernel, PageVmaMappedWalk& pvmw) {
    cpu.emit(Event::kPageVmaMappedWalk, {pvmw.page.pfn().value, pvmw.vma.vm_mm->context.id,
                                         pvmw.address.value, pvmw.slot.ptep.value});
    bool hit = false;
    if (pvmw.slot.table)
        page_vma_mapped_walk_done(cpu, pvmw);
    else
        hit = find_mapping(cpu, kernel, pvmw);
    cpu.emit(Event::kPageVmaMappedWalkRet, {hit ? 1u : 0u});
    return hit;
}

void page_vma_mapped_walk_done(Cpu& cpu, PageVmaMappedWalk& pvmw) {
    pte_unlock(cpu, *pvmw.slot.table);
    pvmw.slot = {};
}

}  // namespace mmusim::rmap
