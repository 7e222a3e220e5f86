// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fork_ptes.hpp"

#include <optional>

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"

namespace mmusim::rmap {

namespace {

/// One entry of the parent and the child's address for its copy.
struct CopyPte {
    const Vma& dst;
    const Vma& src;
    VirtAddr address;
    PhysAddr src_ptep;
    PhysAddr dst_ptep;

    void step() {
        address = address + kPageSize;
        src_ptep = src_ptep + 8;
        dst_ptep = dst_ptep + 8;
    }
};

/// swapoff must find the child, too.
void add_to_mmlist(Cpu& cpu, KernelState& kernel, const Mm& mm) {
    if (cpu.memory().load(mm.mmlist, Part::kPageState).value) return;
    kernel.mmlist_lock.lock(cpu);
    cpu.memory().store(mm.mmlist, {1, 0}, Part::kPageState);
    kernel.mmlist_lock.unlock(cpu);
}

/// The part of copy_one_pte() for swap and migration entries. Returns the swap entry that cannot
/// be counted once more; then nothing was copied.
std::optional<SwapEntry> copy_nonpresent_pte(Cpu& cpu, KernelState& kernel, const CopyPte& at,
                                             Pte pte, MmCounterVector& rss) {
    if (pte.migration()) {
        Page& page = kernel.pages.pfn_to_page(pte.migration_frame());
        ++rss[static_cast<std::size_t>(mm_counter(cpu, page))];
        if (pte.migration_writable() && at.src.is_cow_mapping()) {
            pte = Pte::migration_entry(page.pfn(), false);
            set_pte_at(cpu, at.src_ptep, pte, 0);
        }
    } else {
        const SwapEntry entry{pte.type(), pte.offset()};
        if (!kernel.swap.swap_duplicate(cpu, entry)) return entry;
        add_to_mmlist(cpu, kernel, *at.dst.vm_mm);
        ++rss[static_cast<std::size_t>(MmCounter::kSwapEnts)];
    }
    set_pte_at(cpu, at.dst_ptep, pte, 0);
    return std::nullopt;
}

void copy_present_pte(Cpu& cpu, KernelState& kernel, const CopyPte& at, Word word,
                      MmCounterVector& rss) {
    const MmContext& mm = at.src.vm_mm->context;
    Pte pte = pte_of(word);
    if (at.src.is_cow_mapping() && pte.writable()) {
        pte = pte_of(pte_clear_bits(cpu, at.src_ptep, Pte::kWritable)).without(Pte::kWritable);
        cpu.emit(Event::kPteSet, {mm.id, at.address.value, at.src_ptep.value, pte.raw(),
                                  pte.frame().value, word.generation});
    }
    if (Page* page = vm_normal_page(kernel, pte)) {
        get_page(cpu, *page);
        page_dup_rmap(cpu, *page);
        ++rss[static_cast<std::size_t>(mm_counter(cpu, *page))];
    }
    if (at.src.has(VmFlags::kShared)) pte = pte.without(Pte::kDirty);
    pte = pte.without(Pte::kAccessed);
    set_pte_at(cpu, at.dst_ptep, pte, word.generation);
    cpu.emit(Event::kPteSet, {at.dst.vm_mm->context.id, at.address.value, at.dst_ptep.value,
                              pte.raw(), pte.frame().value, word.generation});
}

/// copy_one_pte()
std::optional<SwapEntry> copy_one_pte(Cpu& cpu, KernelState& kernel, const CopyPte& at,
                                      MmCounterVector& rss) {
    const Word word = read_pte(cpu, at.src_ptep);
    if (pte_of(word).swap_type()) return copy_nonpresent_pte(cpu, kernel, at, pte_of(word), rss);
    if (pte_of(word).present()) copy_present_pte(cpu, kernel, at, word, rss);
    return std::nullopt;
}

/// One hold of both locks. Returns what it stopped at.
std::optional<SwapEntry> copy_ptes(Cpu& cpu, KernelState& kernel, CopyPte& at, VirtAddr end,
                                   const PteSlot& dst_slot, const PteSlot& src_slot) {
    std::optional<SwapEntry> full;
    MmCounterVector rss{};
    pte_lock(cpu, *dst_slot.table);
    pte_lock(cpu, *src_slot.table);
    for (; at.address < end; at.step()) {
        full = copy_one_pte(cpu, kernel, at, rss);
        if (full) break;
    }
    pte_unlock(cpu, *src_slot.table);
    add_mm_rss_vec(cpu, *at.dst.vm_mm, rss);
    pte_unlock(cpu, *dst_slot.table);
    return full;
}

/// copy_pte_range(): one page table, under the locks of both; memory for the count of a swap entry
/// has to be had without them.
void copy_pte_range(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src, VirtRange range) {
    const auto src_slot = find_pte(cpu, kernel, *src.vm_mm, range.start, Part::kPageWalk);
    if (!src_slot) return;
    const PteSlot dst_slot = pte_alloc(cpu, kernel, *dst.vm_mm, range.start, Part::kPageWalk);
    CopyPte at{dst, src, range.start, src_slot->ptep, dst_slot.ptep};
    while (const auto full = copy_ptes(cpu, kernel, at, range.end, dst_slot, *src_slot))
        kernel.swap.add_swap_count_continuation(cpu, *full);
}

}  // namespace

void copy_page_range(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src) {
    if (!vma_anon_vma(cpu, kernel, src)) return;
    const NotifierRange range{src.vm_mm->context.id, src.range(), true};
    if (src.is_cow_mapping()) mmu_notifier_invalidate_range_start(cpu, kernel, range);
    for (VirtAddr address = src.vm_start; address < src.vm_end;) {
        const VirtAddr end = pmd_addr_end(address, src.vm_end);
        copy_pte_range(cpu, kernel, dst, src, {address, end});
        address = end;
    }
    if (src.is_cow_mapping()) mmu_notifier_invalidate_range_end(cpu, kernel, range);
}

}  // namespace mmusim::rmap
