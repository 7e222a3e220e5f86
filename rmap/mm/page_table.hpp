// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rmap/mm/mm.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

struct KernelState;

/// pmd_addr_end() and pud_addr_end(): where the range of the entry ends that covers `address`, or
/// `end` if that comes first.
constexpr VirtAddr pmd_addr_end(VirtAddr address, VirtAddr end) {
    const VirtAddr boundary{(address.value | (kLargeSize - 1)) + 1};
    return boundary < end ? boundary : end;
}
constexpr VirtAddr pud_addr_end(VirtAddr address, VirtAddr end) {
    const VirtAddr boundary{(address.value | ((kLargeSize << 9) - 1)) + 1};
    return boundary < end ? boundary : end;
}

/// Place of a page-table entry: its address, and the page-table page whose lock guards it.
struct PteSlot {
    PhysAddr ptep{};
    Page* table = nullptr;
};

/// Walks the upper levels without a lock (pgd_offset() to pte_offset_map()): per level
/// KernelCosts::page_walk_level and one load, all for `part`. None if there is no table.
std::optional<PteSlot> find_pte(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                Part part);

/// Likewise down to the PMD (pmd_offset()); the slot's lock is pmd_lockptr().
std::optional<PteSlot> find_pmd(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                Part part);
/// pmd_alloc(): the same, adding the tables that are missing above it. mmap_sem held.
PteSlot pmd_alloc(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Part part);

/// pte_alloc_map(): the same as find_pte(), adding the tables that are missing. mmap_sem held.
PteSlot pte_alloc(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Part part);

/// mm_inc_nr_ptes() and its likes of the other levels: `tables` more page-table pages.
void add_pgtables_bytes(Cpu& cpu, const Mm& mm, std::int64_t tables);

/// The split page-table lock (pte_lockptr()), with the events.
void pte_lock(Cpu& cpu, Page& table);
void pte_unlock(Cpu& cpu, Page& table);

/// Reads an entry. Hardware may set its accessed and dirty bits at any time.
Word read_pte(Cpu& cpu, PhysAddr ptep, Part part = Part::kPteAccess);
inline Pte pte_of(Word word) { return Pte{word.value}; }

/// set_pte_at(); page-table lock held. `generation` is that of the page a present entry maps.
void set_pte_at(Cpu& cpu, PhysAddr ptep, Pte pte, Generation generation);

/// ptep_get_and_clear() with the event; page-table lock held. Returns the old entry, which is
/// present.
Word ptep_get_and_clear(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep);
/// set_pte_at() of a present entry, with the event.
void set_present_pte(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep, Pte pte,
                     Generation generation);

/// Sets bits of an entry whose generation stays; page-table lock held. Returns the old value.
Word pte_set_bits(Cpu& cpu, PhysAddr ptep, std::uint64_t bits);
Word pte_clear_bits(Cpu& cpu, PhysAddr ptep, std::uint64_t bits, Part part = Part::kPteAccess);

/// vm_normal_page(): the page a present entry maps; nullptr if it is special, as that of the zero
/// page.
Page* vm_normal_page(KernelState& kernel, Pte pte);

/// pte_alloc_one() and its likes of the other levels: a new empty table page. Clearing it only
/// costs time: tables hold no entries when they are freed, and other pages have no words.
Page& pte_alloc_one(Cpu& cpu, KernelState& kernel);

}  // namespace mmusim::rmap
