// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/madvise.hpp"

#include <algorithm>

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_gather.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/truncate.hpp"
#include "rmap/mm/unmap_vmas.hpp"
#include "rmap/unmap/unmap_flush.hpp"

namespace mmusim::rmap {

namespace {

/// madvise_free_pte_range(): one page table.
class MadviseFreePteRange {
public:
    MadviseFreePteRange(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm)
        : cpu_(cpu), kernel_(kernel), tlb_(tlb), mm_(mm) {}

    /// Returns how many entries were not empty.
    std::uint64_t run(VirtRange range, const PteSlot& first) {
        cpu_.emit(Event::kMadviseFreePteRange,
                  {mm_.context.id, range.start.value, range.end.value});
        pte_lock(cpu_, *first.table);
        flush_tlb_batched_pending(cpu_, kernel_, mm_);
        PhysAddr ptep = first.ptep;
        for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
            free_one(address, ptep);
            ptep = ptep + 8;
        }
        if (nr_swap_) {
            if (cpu_.current && cpu_.current->mm == &mm_) sync_mm_rss(cpu_, mm_);
            add_mm_counter(cpu_, mm_, MmCounter::kSwapEnts, nr_swap_);
        }
        pte_unlock(cpu_, *first.table);
        return found_;
    }

private:
    void free_one(VirtAddr address, PhysAddr ptep) {
        const Pte pte = pte_of(read_pte(cpu_, ptep));
        if (pte.none()) return;
        ++found_;
        if (!pte.present()) return free_nonpresent(ptep, pte);
        Page* page = vm_normal_page(kernel_, pte);
        if (!page || !may_clean(*page)) return;
        if (pte.young() || pte.dirty()) {
            const Word old = ptep_get_and_clear(cpu_, mm_, address, ptep);
            set_present_pte(cpu_, mm_, address, ptep,
                            pte_of(old).without(Pte::kAccessed | Pte::kDirty), old.generation);
            tlb_.remove_tlb_entry(address);
        }
        mark_page_lazyfree(cpu_, kernel_, *page);
    }

    /// A swapped page has nothing that would be worth reading back.
    void free_nonpresent(PhysAddr ptep, Pte pte) {
        if (pte.migration()) return;
        --nr_swap_;
        free_swap_and_cache(cpu_, kernel_, {pte.type(), pte.offset()});
        set_pte_at(cpu_, ptep, {}, 0);
    }

    /// Takes away what would make reclaim keep or write the page. False: others need it.
    bool may_clean(Page& page) {
        const bool swap_cache = page.test(cpu_, PageFlag::kSwapCache);
        if (!swap_cache && !page.test(cpu_, PageFlag::kDirty)) return true;
        if (!trylock_page(cpu_, page)) return false;
        const bool alone =
            page.mapcount(cpu_) == 1 && (!swap_cache || try_to_free_swap(cpu_, kernel_, page));
        if (alone) page.clear(cpu_, PageFlag::kDirty);
        unlock_page(cpu_, page);
        return alone;
    }

    Cpu& cpu_;
    KernelState& kernel_;
    MmuGather& tlb_;
    Mm& mm_;
    std::int64_t nr_swap_ = 0;
    std::uint64_t found_ = 0;
};

/// madvise_free_single_vma()
std::uint64_t madvise_free_single_vma(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range) {
    Mm& mm = *vma.vm_mm;
    const NotifierRange section{mm.context.id, range, true};
    cpu.emit(Event::kMadviseFreeSingleVma, {mm.context.id, range.start.value, range.end.value});
    lru_add_drain(cpu, kernel);
    MmuGather tlb(cpu, kernel, mm, range);
    update_hiwater_rss(cpu, mm);
    mmu_notifier_invalidate_range_start(cpu, kernel, section);
    std::uint64_t found = 0;
    for (VirtAddr address = range.start; address < range.end;) {
        const VirtAddr next = pmd_addr_end(address, range.end);
        if (const auto slot = find_pte(cpu, kernel, mm, address, Part::kPageWalk))
            found += MadviseFreePteRange(cpu, kernel, tlb, mm).run({address, next}, *slot);
        address = next;
    }
    mmu_notifier_invalidate_range_end(cpu, kernel, section);
    tlb.finish();
    return found;
}

/// madvise_dontneed_free(): what can_madv_dontneed_vma() allows.
Errno madvise_dontneed_free(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range,
                            Madvise behavior, std::uint64_t& pages) {
    if (vma.has(VmFlags::kLocked)) return Errno::kInvalid;
    if (behavior == Madvise::kFree && !vma.is_anonymous()) return Errno::kInvalid;
    pages += behavior == Madvise::kFree ? madvise_free_single_vma(cpu, kernel, vma, range)
                                        : zap_page_range(cpu, kernel, vma, range);
    return Errno::kNone;
}

/// madvise_remove(): mmap_sem is dropped meanwhile, because file systems take it inside locks of
/// their own; the VMA may be gone on return.
Errno madvise_remove(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtRange range,
                     std::uint64_t& pages) {
    Mm& mm = *vma.vm_mm;
    if (vma.has(VmFlags::kLocked) || !vma.vm_file) return Errno::kInvalid;
    if (!vma.has(VmFlags::kShared | VmFlags::kWrite)) return Errno::kAccess;
    AddressSpace& file = *vma.vm_file;
    const PageRange hole{vma.page_index(range.start), vma.page_index(range.end) - 1};
    mmap_sem_unlock_read(cpu, mm);
    vfs_fallocate(cpu, kernel, file, hole);
    mmap_sem_lock_read(cpu, mm);
    pages += range.pages();
    return Errno::kNone;
}

/// madvise_vma()
Errno madvise_vma(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range, Madvise behavior,
                  std::uint64_t& pages) {
    if (behavior == Madvise::kRemove) return madvise_remove(cpu, kernel, vma, range, pages);
    return madvise_dontneed_free(cpu, kernel, vma, range, behavior, pages);
}

/// The loop of madvise(2).
RangeResult madvise_range(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range,
                          Madvise behavior) {
    RangeResult result;
    VirtAddr start = range.start;
    while (start < range.end) {
        Vma* vma = mm.find_vma_ending_after(start);
        if (!vma || vma->vm_start > start) result.error = Errno::kNoMemory;
        if (!vma || vma->vm_start >= range.end) break;
        start = std::max(start, vma->vm_start);
        const VirtAddr end = std::min(vma->vm_end, range.end);
        const Errno error = madvise_vma(cpu, kernel, *vma, {start, end}, behavior, result.pages);
        if (error != Errno::kNone) {
            result.error = error;
            break;
        }
        start = end;
    }
    return result;
}

}  // namespace

RangeResult madvise(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, Madvise behavior) {
    Syscall call(cpu, OperationKind::kMadvise, range.pages());
    mmap_sem_lock_read(cpu, mm);
    const RangeResult result = madvise_range(cpu, kernel, mm, range, behavior);
    mmap_sem_unlock_read(cpu, mm);
    call.exit(result.pages);
    return result;
}

}  // namespace mmusim::rmap
