// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// struct mmu_gather (mm/mmu_gather.c): collects what an operation on a range of an mm unmaps, so
/// that one flush precedes the freeing of all of it. Must be finished.
/// Does not model: the frames of the batches themselves.
class MmuGather {
public:
    /// tlb_gather_mmu()
    MmuGather(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);
    MmuGather(const MmuGather&) = delete;
    MmuGather& operator=(const MmuGather&) = delete;

    /// tlb_remove_tlb_entry(): an entry of this page was cleared.
    void remove_tlb_entry(VirtAddr address);
    /// __tlb_remove_page(): queues a page with its reference. True: the queue is full and must be
    /// flushed.
    bool remove_page(Page& page);
    /// pte_free_tlb() and its likes: queues a page-table page that an entry of `level` named.
    void free_table(Page& table, VirtAddr address, unsigned level);

    /// tlb_flush_mmu_tlbonly(): flushes the range, then tells the notifiers. Allowed under the
    /// page-table lock.
    void flush_tlb_only();
    /// tlb_flush_mmu_free(): frees what is queued; the range was flushed.
    void flush_free();
    /// tlb_finish_mmu()
    void finish();

private:
    void adjust_range(VirtAddr start, std::uint64_t size);
    void reset_range();
    unsigned unmap_shift() const;

    Cpu& cpu_;
    KernelState& kernel_;
    Mm& mm_;
    const VirtRange whole_;
    const bool fullmm_;

    VirtRange flush_{};  ///< what the clients are told; end 0: nothing to flush
    bool freed_tables_ = false;
    unsigned cleared_levels_ = 0;  ///< bit n: entries of level n were cleared
    std::vector<std::vector<Page*>> batches_;
    std::size_t queued_ = 0;
};

}  // namespace mmusim::rmap
