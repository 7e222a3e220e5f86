// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/madvise.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

RangeResult dontneed(KernelBench& bench, Mm& mm, VirtRange range) {
    return bench.kernel.madvise(bench.cpu(), mm, range, Madvise::kDontneed);
}
RangeResult madv_free(KernelBench& bench, Mm& mm, VirtRange range) {
    return bench.kernel.madvise(bench.cpu(), mm, range, Madvise::kFree);
}
bool has_flag(KernelBench& bench, Page& page, PageFlag flag) {
    return page.test(bench.cpu(), flag);
}

}  // namespace

TEST_CASE("madvise: MADV_DONTNEED zaps in a section, and flushes and frees behind it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1});
    bench.watch(mm);
    CHECK(dontneed(bench, mm, bench.range(2)).pages == 2);
    // o_dontneed_n4_none and n_kvm_dontneed_n4_run, with what cannot be seen there.
    CHECK(bench.order({Event::kMmapSemLock, Event::kTlbGatherMmu, Event::kUpdateHiwaterRss,
                       Event::kMnStart, Event::kUnmapPageRange, Event::kFlushTlbBatchedPending,
                       Event::kPteClear, Event::kPageRemoveRmap, Event::kMmCounter, Event::kMnEnd,
                       Event::kTlbFinishMmu, Event::kFlushTlbMmRange, Event::kMnInvalidateRange,
                       Event::kPageFree, Event::kTlbFinishMmuRet, Event::kMmapSemUnlock}) ==
          "mmap_sem_lock tlb_gather_mmu update_hiwater_rss mn_range_start unmap_page_range "
          "flush_tlb_batched_pending pte_clear page_remove_rmap pte_clear page_remove_rmap "
          "mm_counter mn_range_end tlb_finish_mmu flush_tlb_mm_range mn_range mm_page_free "
          "mm_page_free tlb_finish_mmu_ret mmap_sem_unlock");
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{0});
    CHECK(mm.mmap.size() == 1);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_hwm == 2);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_size == 2);
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
}

TEST_CASE("madvise: every VMA is a gather and a section of its own", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(6, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2, 2));
    bench.watch(mm);
    bench.trace().clear();
    const RangeResult result = dontneed(bench, mm, bench.range(6));
    CHECK(result.error == Errno::kNoMemory);  // of the hole
    CHECK(result.pages == 4);
    CHECK(bench.values(Event::kMnStart, "end") ==
          std::vector<std::uint64_t>{bench.page(2).value, bench.page(6).value});
    CHECK(bench.trace().count(Event::kTlbGatherMmu) == 2);
}

TEST_CASE("madvise: locked memory is refused", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Vma& vma = *mm.find_vma(bench.page(0));
    set_vm_flags(bench.cpu(), vma, vma.vm_flags | VmFlags::kLocked);
    CHECK(dontneed(bench, mm, bench.range(1)).error == Errno::kInvalid);
    CHECK(bench.pte(mm, 0).present());
}

TEST_CASE("madvise: MADV_FREE makes entries old and clean and pages lazyfree", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1}, {});
    bench.watch(mm);
    Page& page = bench.mapped_page(mm, 0);
    CHECK(madv_free(bench, mm, bench.range(2)).pages == 2);
    // f_madvfree_call_n4_thr3 and n_kvm_free_n4_halt, with what cannot be seen there.
    CHECK(bench.order({Event::kTlbGatherMmu, Event::kUpdateHiwaterRss, Event::kMnStart,
                       Event::kMadviseFreePteRange, Event::kPtlLock, Event::kFlushTlbBatchedPending,
                       Event::kPteClear, Event::kPteSet, Event::kPtlUnlock, Event::kMnEnd,
                       Event::kTlbFinishMmu, Event::kFlushTlbMmRange, Event::kMnInvalidateRange,
                       Event::kTlbFinishMmuRet}) ==
          "tlb_gather_mmu update_hiwater_rss mn_range_start madvise_free_pte_range ptl_lock "
          "flush_tlb_batched_pending pte_clear pte_set pte_clear pte_set ptl_unlock mn_range_end "
          "tlb_finish_mmu flush_tlb_mm_range mn_range tlb_finish_mmu_ret");
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "start") == bench.page(0).value);
    CHECK(bench.trace().argument(flushed, "end") == bench.page(2).value);
    const auto range = bench.trace().first(Event::kMadviseFreePteRange);
    CHECK(bench.trace().argument(range, "addr") == bench.page(0).value);
    CHECK(bench.trace().argument(range, "end") == bench.page(2).value);

    const Pte pte = bench.pte(mm, 0);
    CHECK(pte.present());
    CHECK(pte.writable());
    CHECK_FALSE(pte.young());
    CHECK_FALSE(pte.dirty());
    bench.drain();
    CHECK_FALSE(has_flag(bench, page, PageFlag::kSwapBacked));
    CHECK_FALSE(has_flag(bench, page, PageFlag::kActive));
    CHECK(bench.kernel.state().lru.size(0, 0, LruList::kInactiveFile) == 2);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 2);
    CHECK(bench.kernel.vm_events(0)[static_cast<std::size_t>(VmEvent::kPgLazyFree)] == 2);
}

TEST_CASE("madvise: MADV_FREE of what is old and clean flushes nothing", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1});
    madv_free(bench, mm, bench.range(2));
    bench.trace().clear();
    madv_free(bench, mm, bench.range(2));
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
    CHECK(bench.trace().count(Event::kPteClear) == 0);
}

TEST_CASE("madvise: MADV_FREE leaves a dirty page alone that others share or hold locked",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    for (std::uint64_t index = 0; index < 3; ++index)
        bench.mapped_page(mm, index).set(bench.cpu(), PageFlag::kDirty);
    lock_page(bench.cpu(1), bench.mapped_page(mm, 0));
    bench.mapped_page(mm, 1).add_mapcount(bench.cpu(), 1);
    madv_free(bench, mm, bench.range(3));
    bench.drain();
    CHECK(has_flag(bench, bench.mapped_page(mm, 0), PageFlag::kSwapBacked));
    CHECK(has_flag(bench, bench.mapped_page(mm, 0), PageFlag::kDirty));
    CHECK(has_flag(bench, bench.mapped_page(mm, 1), PageFlag::kSwapBacked));
    CHECK(bench.pte(mm, 1).dirty());
    CHECK_FALSE(bench.mapped_page(mm, 1).lock.held_by(bench.cpu()));
    CHECK_FALSE(has_flag(bench, bench.mapped_page(mm, 2), PageFlag::kSwapBacked));
    CHECK_FALSE(has_flag(bench, bench.mapped_page(mm, 2), PageFlag::kDirty));
}

TEST_CASE("madvise: MADV_FREE frees swap entries and the slots of cached pages", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    bench.kernel.reclaim_pages(bench.cpu(), {});
    REQUIRE(bench.kernel.state().swap.used() == 2);
    CHECK(madv_free(bench, mm, bench.range(1)).pages == 1);
    CHECK(bench.pte(mm, 0).none());
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_swap == 1);
    CHECK(bench.kernel.state().swap.used() == 1);

    Mm& other = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(other, 0);
    lock_page(bench.cpu(), page);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    unlock_page(bench.cpu(), page);
    madv_free(bench, other, bench.range(1));
    CHECK_FALSE(has_flag(bench, page, PageFlag::kSwapCache));
    CHECK_FALSE(has_flag(bench, page, PageFlag::kDirty));
    CHECK(bench.kernel.state().swap.used() == 1);
}

TEST_CASE("madvise: MADV_FREE refuses files", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    CHECK(madv_free(bench, mm, bench.range(1)).error == Errno::kInvalid);
}
