// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fork_ptes.hpp"

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

/// One entry of the parent and the child's address for its copy.
struct CopyPte {
    const Vma& dst;
    const Vma& src;
    VirtAddr address;
    PhysAddr src_ptep;
    PhysAddr dst_ptep;
};

/// The part of copy_one_pte() for swap and migration entries.
void copy_nonpresent_pte(Cpu& cpu, KernelState& kernel, const CopyPte& at, Pte pte,
                         MmCounterVector& rss) {
    if (pte.migration()) {
        Page& page = kernel.pages.pfn_to_page(pte.migration_frame());
        ++rss[static_cast<std::size_t>(mm_counter(cpu, page))];
        if (pte.migration_writable() && at.src.is_cow_mapping()) {
            pte = Pte::migration_entry(page.pfn(), false);
            set_pte_at(cpu, at.src_ptep, pte, 0);
        }
    } else {
        const SwapEntry entry{pte.type(), pte.offset()};
        const bool counted = kernel.swap.swap_duplicate(cpu, entry);
        MMUSIM_CHECK(counted, "fork needs a count for every swap entry it copies");
        cpu.memory().store(at.dst.vm_mm->mmlist, {1, 0}, Part::kPageState);
        ++rss[static_cast<std::size_t>(MmCounter::kSwapEnts)];
    }
    set_pte_at(cpu, at.dst_ptep, pte, 0);
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
    pte = pte.without(Pte::kAccessed);
    set_pte_at(cpu, at.dst_ptep, pte, word.generation);
    cpu.emit(Event::kPteSet, {at.dst.vm_mm->context.id, at.address.value, at.dst_ptep.value,
                              pte.raw(), pte.frame().value, word.generation});
}

/// One entry under the locks of both tables.
void copy_one(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src, VirtAddr address,
              const PteSlot& src_slot, MmCounterVector& rss) {
    if (pte_of(read_pte(cpu, src_slot.ptep)).none()) return;
    const PteSlot dst_slot = pte_alloc(cpu, kernel, *dst.vm_mm, address);
    pte_lock(cpu, *dst_slot.table);
    pte_lock(cpu, *src_slot.table);
    const CopyPte at{dst, src, address, src_slot.ptep, dst_slot.ptep};
    const Word word = read_pte(cpu, src_slot.ptep);
    if (pte_of(word).swap_type())
        copy_nonpresent_pte(cpu, kernel, at, pte_of(word), rss);
    else if (pte_of(word).present())
        copy_present_pte(cpu, kernel, at, word, rss);
    pte_unlock(cpu, *src_slot.table);
    pte_unlock(cpu, *dst_slot.table);
}

}  // namespace

void copy_page_range(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src) {
    if (!vma_anon_vma(cpu, kernel, src)) return;
    const NotifierRange range{src.vm_mm->context.id, src.range(), true};
    if (src.is_cow_mapping()) mmu_notifier_invalidate_range_start(cpu, kernel, range);
    MmCounterVector rss{};
    for (VirtAddr address = src.vm_start; address < src.vm_end; address = address + kPageSize)
        if (const auto slot = find_pte(cpu, kernel, *src.vm_mm, address, Part::kFault))
            copy_one(cpu, kernel, dst, src, address, *slot, rss);
    add_mm_rss_vec(cpu, *dst.vm_mm, rss);
    if (src.is_cow_mapping()) mmu_notifier_invalidate_range_end(cpu, kernel, range);
}

}  // namespace mmusim::rmap
