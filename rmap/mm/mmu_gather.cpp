// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mmu_gather.hpp"

#include <algorithm>

#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::size_t kGatherBundle = 8;          // MMU_GATHER_BUNDLE: on the stack
constexpr std::size_t kMaxGatherBatch = 510;      // MAX_GATHER_BATCH: a page full
constexpr std::size_t kMaxGatherBatchCount = 19;  // MAX_GATHER_BATCH_COUNT

/// free_swap_cache(): a page that leaves its last page table leaves the swap cache too, if it can.
void free_swap_cache(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!page.test(cpu, PageFlag::kSwapCache) || page_mapped(cpu, page)) return;
    if (!trylock_page(cpu, page)) return;
    try_to_free_swap(cpu, kernel, page);
    unlock_page(cpu, page);
}

}  // namespace

MmuGather::MmuGather(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range)
    : cpu_(cpu), kernel_(kernel), mm_(mm), whole_(range), fullmm_(range == kAllAddresses) {
    reset_range();
    cpu.emit(Event::kTlbGatherMmu, {mm.context.id, range.start.value, range.end.value});
    cpu.memory().fetch_add(mm.tlb_flush_pending, 1, Part::kFlushPrepare);
}

void MmuGather::adjust_range(VirtAddr start, std::uint64_t size) {
    const VirtAddr end = start + size;
    if (flush_.end.value == 0) flush_.start = start;
    flush_ = {std::min(flush_.start, start), std::max(flush_.end, end)};
}

void MmuGather::reset_range() {
    // The range of a whole mm always has an end, so it is flushed whatever was cleared; but its
    // start is known only once something was (hazard HZ16).
    flush_ = fullmm_ ? VirtRange{kAllAddresses.end, kAllAddresses.end} : VirtRange{};
    freed_tables_ = false;
    cleared_levels_ = 0;
}

void MmuGather::remove_tlb_entry(VirtAddr address) {
    adjust_range(address, kPageSize);
    cleared_levels_ |= 1u << 1;
}

bool MmuGather::remove_page(Page& page) {
    const std::size_t capacity = batches_.size() <= 1 ? kGatherBundle : kMaxGatherBatch;
    if (batches_.empty() || batches_.back().size() == capacity) batches_.emplace_back();
    batches_.back().push_back(&page);
    ++queued_;
    return queued_ == kGatherBundle + kMaxGatherBatchCount * kMaxGatherBatch;
}

void MmuGather::free_table(Page& table, VirtAddr address, unsigned level) {
    adjust_range(address, kPageSize);
    freed_tables_ = true;
    cleared_levels_ |= 1u << level;
    if (remove_page(table)) {
        flush_tlb_only();
        flush_free();
    }
}

/// tlb_get_unmap_shift(): that of the smallest level that was cleared.
unsigned MmuGather::unmap_shift() const {
    for (unsigned level = 1; level <= kPageTableLevels; ++level)
        if (cleared_levels_ & 1u << level) return kPageShift + 9 * (level - 1);
    return kPageShift;
}

void MmuGather::flush_tlb_only() {
    if (flush_.end.value == 0) return;
    kernel_.flush.flush_tlb_mm_range(cpu_, mm_.context, fullmm_ ? kAllAddresses : flush_,
                                     unmap_shift(), freed_tables_);
    mmu_notifier_invalidate_range(cpu_, kernel_, mm_, flush_);
    reset_range();
}

void MmuGather::flush_free() {
    for (const auto& batch : batches_) {  // free_pages_and_swap_cache()
        lru_add_drain(cpu_, kernel_);
        for (Page* page : batch) free_swap_cache(cpu_, kernel_, *page);
        release_pages(cpu_, kernel_, batch);
    }
    batches_.clear();
    queued_ = 0;
}

void MmuGather::finish() {
    cpu_.emit(Event::kTlbFinishMmu, {mm_.context.id, whole_.start.value, whole_.end.value});
    // Somebody else who clears entries of this mm may have cleared some that are not noted here and
    // not have flushed them yet.
    if (cpu_.memory().load(mm_.tlb_flush_pending, Part::kFlushPrepare).value > 1) {
        reset_range();
        adjust_range(whole_.start, whole_.end - whole_.start);
    }
    flush_tlb_only();
    flush_free();
    cpu_.memory().fetch_add(mm_.tlb_flush_pending, -1, Part::kFlushPrepare);
    cpu_.emit(Event::kTlbFinishMmuRet);
}

}  // namespace mmusim::rmap
