// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_table.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

/// Entries of upper levels: everything is allowed, the leaf decides.
Pte table_entry(const Page& table) {
    return Pte::present_entry(table.pfn(), Pte::kWritable | Pte::kAccessed);
}

/// The lock under which an entry of `level` is populated: that of the PMD's own page, and
/// page_table_lock above it.
Lock& populate_lock(KernelState& kernel, Mm& mm, FrameNumber table, unsigned level) {
    return level == 2 ? kernel.pages.pfn_to_page(table).lock : mm.page_table_lock;
}

/// __pte_alloc(), __pmd_alloc(), __pud_alloc(): somebody else may have been faster.
FrameNumber populate(Cpu& cpu, KernelState& kernel, Mm& mm, FrameNumber table, VirtAddr address,
                     unsigned level) {
    const PhysAddr entry = entry_address(table, address, level);
    Page& next = pte_alloc_one(cpu, kernel);
    Lock& lock = populate_lock(kernel, mm, table, level);
    lock.lock(cpu);
    const Pte found = pte_of(cpu.memory().load(entry, Part::kPageTables));
    if (!found.present()) {
        add_pgtables_bytes(cpu, mm, +1);
        cpu.memory().store(entry, {table_entry(next).raw(), next.generation}, Part::kPageTables);
    }
    lock.unlock(cpu);
    if (!found.present()) return next.pfn();
    put_page(cpu, kernel, next);
    return found.frame();
}

std::optional<PteSlot> find_entry(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                  unsigned of_level, Part part) {
    FrameNumber table = mm.context.pgd;
    for (unsigned level = kPageTableLevels; level > of_level; --level) {
        cpu.spend(cpu.costs().page_walk_level, part);
        const Pte entry = pte_of(cpu.memory().load(entry_address(table, address, level), part));
        if (!entry.present()) return std::nullopt;
        table = entry.frame();
    }
    cpu.spend(cpu.costs().page_walk_level, part);
    return PteSlot{entry_address(table, address, of_level), &kernel.pages.pfn_to_page(table)};
}

PteSlot alloc_entry(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, unsigned of_level,
                    Part part) {
    FrameNumber table = mm.context.pgd;
    for (unsigned level = kPageTableLevels; level > of_level; --level) {
        cpu.spend(cpu.costs().page_walk_level, part);
        const Pte entry = pte_of(cpu.memory().load(entry_address(table, address, level), part));
        table = entry.present() ? entry.frame() : populate(cpu, kernel, mm, table, address, level);
    }
    cpu.spend(cpu.costs().page_walk_level, part);
    return {entry_address(table, address, of_level), &kernel.pages.pfn_to_page(table)};
}

}  // namespace

std::optional<PteSlot> find_pte(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                Part part) {
    return find_entry(cpu, kernel, mm, address, 1, part);
}
std::optional<PteSlot> find_pmd(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                Part part) {
    return find_entry(cpu, kernel, mm, address, 2, part);
}

PteSlot pte_alloc(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Part part) {
    return alloc_entry(cpu, kernel, mm, address, 1, part);
}
PteSlot pmd_alloc(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Part part) {
    return alloc_entry(cpu, kernel, mm, address, 2, part);
}

void add_pgtables_bytes(Cpu& cpu, const Mm& mm, std::int64_t tables) {
    cpu.memory().fetch_add(mm.pgtables_bytes, tables * static_cast<std::int64_t>(kPageSize),
                           Part::kPageTables);
}

void pte_lock(Cpu& cpu, Page& table) {
    table.lock.lock(cpu);
    cpu.emit(Event::kPtlLock, {table.lock.word().value});
}

void pte_unlock(Cpu& cpu, Page& table) {
    cpu.emit(Event::kPtlUnlock, {table.lock.word().value});
    table.lock.unlock(cpu);
}

Word read_pte(Cpu& cpu, PhysAddr ptep, Part part) { return cpu.memory().load(ptep, part); }

void set_pte_at(Cpu& cpu, PhysAddr ptep, Pte pte, Generation generation) {
    cpu.memory().store(ptep, {pte.raw(), generation}, Part::kPteAccess);
}

Word ptep_get_and_clear(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep) {
    const Word old = cpu.memory().exchange(ptep, {}, Part::kPteAccess);
    cpu.emit(Event::kPteClear, {mm.context.id, address.value, ptep.value, old.value,
                                pte_of(old).frame().value, old.generation});
    return old;
}

void set_present_pte(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep, Pte pte,
                     Generation generation) {
    set_pte_at(cpu, ptep, pte, generation);
    cpu.emit(Event::kPteSet,
             {mm.context.id, address.value, ptep.value, pte.raw(), pte.frame().value, generation});
}

Word pte_set_bits(Cpu& cpu, PhysAddr ptep, std::uint64_t bits) {
    const auto set = [&](Word old, Instant) { return Word{old.value | bits, old.generation}; };
    return cpu.memory().read_modify_write(ptep, set, Part::kPteAccess);
}

Word pte_clear_bits(Cpu& cpu, PhysAddr ptep, std::uint64_t bits, Part part) {
    const auto clear = [&](Word old, Instant) { return Word{old.value & ~bits, old.generation}; };
    return cpu.memory().read_modify_write(ptep, clear, part);
}

Page* vm_normal_page(KernelState& kernel, Pte pte) {
    return pte.special() ? nullptr : &kernel.pages.pfn_to_page(pte.frame());
}

Page& pte_alloc_one(Cpu& cpu, KernelState& kernel) {
    return kernel.pages.alloc_page(cpu, kernel.node_of(cpu), GfpFlags::kZero);
}

}  // namespace mmusim::rmap
