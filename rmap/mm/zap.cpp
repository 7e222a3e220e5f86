// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/zap.hpp"

#include <algorithm>

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/unmap/unmap_flush.hpp"

namespace mmusim::rmap {

namespace {

/// Bytes that one entry of `level` covers.
constexpr std::uint64_t span(unsigned level) { return kPageSize << (9 * (level - 1)); }

VirtAddr next_boundary(VirtAddr address, unsigned level) {
    return {(address.value | (span(level) - 1)) + 1};
}

/// zap_pte_range(): one page table.
class ZapPteRange {
public:
    ZapPteRange(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Vma& vma, const ZapDetails* details)
        : cpu_(cpu), kernel_(kernel), tlb_(tlb), vma_(vma), mm_(*vma.vm_mm), details_(details) {}

    std::uint64_t run(VirtRange range) {
        VirtAddr address = range.start;
        while (address < range.end) address = pass({address, range.end});
        return cleared_;
    }

private:
    /// From taking to dropping the lock. Returns where to go on: not the end if the gather is full.
    VirtAddr pass(VirtRange range) {
        const auto first = find_pte(cpu_, kernel_, mm_, range.start, Part::kPageWalk);
        if (!first) return range.end;
        rss_ = {};
        force_flush_ = full_ = false;
        pte_lock(cpu_, *first->table);
        flush_tlb_batched_pending(cpu_, kernel_, mm_);
        VirtAddr address = range.start;
        for (PhysAddr ptep = first->ptep; address < range.end && !full_; ptep = ptep + 8) {
            zap_one(address, ptep);
            address = address + kPageSize;
        }
        add_mm_rss_vec(cpu_, mm_, rss_);
        // A dirty page must not look clean to others while a CPU can still write to it.
        if (force_flush_) tlb_.flush_tlb_only();
        pte_unlock(cpu_, *first->table);
        if (force_flush_) tlb_.flush_free();
        return address;
    }

    void zap_one(VirtAddr address, PhysAddr ptep) {
        const Pte pte = pte_of(read_pte(cpu_, ptep));
        if (pte.none() || stays(pte)) return;
        ++cleared_;
        if (pte.present())
            zap_present(address, ptep);
        else
            zap_nonpresent(ptep, pte);
    }

    /// Private copies of a file's pages, and what is not in memory.
    bool stays(Pte pte) {
        if (!details_) return false;
        if (!pte.present()) return true;
        const Page* page = vm_normal_page(kernel_, pte);
        return page && details_->check_mapping &&
               page->mapping(cpu_).raw != details_->check_mapping->mapping().raw;
    }

    void zap_present(VirtAddr address, PhysAddr ptep) {
        const Word old = ptep_get_and_clear(cpu_, mm_, address, ptep);
        const Pte pte = pte_of(old);
        tlb_.remove_tlb_entry(address);
        Page* page = vm_normal_page(kernel_, pte);
        if (!page) return;
        if (given_back(old, *page)) {
            --rss_[static_cast<std::size_t>(MmCounter::kAnonPages)];
            return;
        }
        if (!page_is_anon(cpu_, *page)) {
            if (pte.dirty()) {
                force_flush_ = true;
                set_page_dirty(cpu_, kernel_, *page);
            }
            if (pte.young() && !vma_.has(VmFlags::kSeqRead))
                mark_page_accessed(cpu_, kernel_, *page);
        }
        --rss_[static_cast<std::size_t>(mm_counter(cpu_, *page))];
        page_remove_rmap(cpu_, kernel_, *page);
        if (tlb_.remove_page(*page)) force_flush_ = full_ = true;
    }

    /// InjectedFault::kFreeBeforeSection has taken the page from under its entry; the frame may be
    /// somebody else's by now.
    bool given_back(Word old, const Page& page) const {
        return kernel_.config.fault == InjectedFault::kFreeBeforeSection &&
               old.generation != page.generation;
    }

    void zap_nonpresent(PhysAddr ptep, Pte pte) {
        if (pte.migration()) {
            Page& page = kernel_.pages.pfn_to_page(pte.migration_frame());
            --rss_[static_cast<std::size_t>(mm_counter(cpu_, page))];
        } else {
            --rss_[static_cast<std::size_t>(MmCounter::kSwapEnts)];
            free_swap_and_cache(cpu_, kernel_, {pte.type(), pte.offset()});
        }
        set_pte_at(cpu_, ptep, {}, 0);
    }

    Cpu& cpu_;
    KernelState& kernel_;
    MmuGather& tlb_;
    Vma& vma_;
    Mm& mm_;
    const ZapDetails* const details_;
    MmCounterVector rss_{};
    bool force_flush_ = false;
    bool full_ = false;
    std::uint64_t cleared_ = 0;
};

/// What free_pgd_range() and its inner levels carry along.
struct FreeRange {
    Cpu& cpu;
    KernelState& kernel;
    MmuGather& tlb;
    const Mm& mm;
    VirtAddr floor;
    VirtAddr ceiling;  ///< 0 = the top
};

/// free_pte_range() to free_pud_range(): the tables below `table`, a table of `level`, and then the
/// caller frees `table` itself if its whole span is unused.
void free_tables(const FreeRange& in, FrameNumber table, unsigned level, VirtRange range) {
    for (VirtAddr address = range.start; address < range.end;) {
        const VirtAddr end = std::min(next_boundary(address, level), range.end);
        const PhysAddr entry = entry_address(table, address, level);
        const Pte found = pte_of(in.cpu.memory().load(entry, Part::kPageTables));
        if (found.present()) {
            if (level > 2) free_tables(in, found.frame(), level - 1, {address, end});
            const VirtAddr start{address.value & ~(span(level) - 1)};
            const VirtAddr last{start.value + span(level) - 1};
            const bool unused = start >= in.floor && last.value <= in.ceiling.value - 1;
            if (unused) {
                in.cpu.memory().store(entry, {}, Part::kPageTables);
                in.cpu.spend(in.cpu.costs().page_table_free, Part::kPageTables);
                in.tlb.free_table(in.kernel.pages.pfn_to_page(found.frame()), start, level);
                add_pgtables_bytes(in.cpu, in.mm, -1);
            }
        }
        address = end;
    }
}

}  // namespace

std::uint64_t unmap_page_range(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Vma& vma,
                               VirtRange range, const ZapDetails* details) {
    cpu.emit(Event::kUnmapPageRange, {vma.vm_mm->context.id, range.start.value, range.end.value});
    std::uint64_t cleared = 0;
    for (VirtAddr address = range.start; address < range.end;) {
        const VirtAddr end = pmd_addr_end(address, range.end);
        cleared += ZapPteRange(cpu, kernel, tlb, vma, details).run({address, end});
        address = end;
    }
    return cleared;
}

void free_pgd_range(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm, VirtRange range,
                    VirtAddr floor, VirtAddr ceiling) {
    free_tables({cpu, kernel, tlb, mm, floor, ceiling}, mm.context.pgd, kPageTableLevels, range);
}

}  // namespace mmusim::rmap
