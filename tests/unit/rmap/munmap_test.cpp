// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/munmap.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

constexpr auto kOrder = {Event::kTlbGatherMmu,
                         Event::kMnStart,
                         Event::kUnmapPageRange,
                         Event::kFlushTlbBatchedPending,
                         Event::kPteClear,
                         Event::kPageRemoveRmap,
                         Event::kMnEnd,
                         Event::kFreePgtables,
                         Event::kTlbFinishMmu,
                         Event::kFlushTlbMmRange,
                         Event::kMnInvalidateRange,
                         Event::kFreeUnrefPageList,
                         Event::kPageFree,
                         Event::kTlbFinishMmuRet};

std::vector<std::uint64_t> reversed(std::vector<std::uint64_t> values) {
    std::reverse(values.begin(), values.end());
    return values;
}

}  // namespace

TEST_CASE("munmap: the gather flushes and frees after the notifier section", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0, 1});
    bench.watch(mm);
    CHECK(bench.kernel.munmap(bench.cpu(), mm, bench.range(1)) == 1);
    // One page, and the three table pages that nothing else needs.
    CHECK(bench.order(kOrder) ==
          "tlb_gather_mmu mn_range_start unmap_page_range flush_tlb_batched_pending pte_clear "
          "page_remove_rmap mn_range_end free_pgtables tlb_finish_mmu flush_tlb_mm_range mn_range "
          "free_unref_page_list mm_page_free mm_page_free mm_page_free mm_page_free "
          "tlb_finish_mmu_ret");
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "start") == bench.page(0).value);
    CHECK(bench.trace().argument(flushed, "end") == bench.page(1).value);
    CHECK(bench.trace().argument(flushed, "stride") == 12);
    CHECK(bench.trace().argument(flushed, "freed_tables") == 1);
}

TEST_CASE("munmap: a fault elsewhere in the process does not wait for the pages", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(4));
    bench.kernel.populate(bench.cpu(), mm, bench.range(2));
    bench.run(0, mm);
    bench.run(1, mm);
    bench.watch(mm);
    bool there = false;
    bench.trace().at_next(Event::kMnStart, 0, [&] {
        there = bench.kernel.touch(bench.cpu(1), mm, bench.page(3), Access::kWrite);
    });
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    CHECK(there);
    CHECK(bench.pte(mm, 3).present());
}

TEST_CASE("munmap: frames are freed in reverse order with the tables first", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    std::vector<std::uint64_t> frames;
    for (unsigned i = 0; i < 4; ++i) frames.push_back(bench.mapped_page(mm, i).pfn().value);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(4));
    std::vector<std::uint64_t> freed = bench.values(Event::kPageFree, "pfn");
    REQUIRE(freed.size() == 7);
    CHECK(std::vector<std::uint64_t>(freed.begin() + 3, freed.end()) == reversed(frames));
    CHECK(bench.values(Event::kPageFreeBatched, "pfn") == freed);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_size == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_hwm == 4);
}

TEST_CASE("munmap: all memory comes back", "[unit][rmap]") {
    KernelBench bench;
    auto& pages = bench.kernel.state().pages;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.run(0, mm);
    const auto before = pages.nr_free_pages(0) + pages.nr_free_pages(1);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(700));
    bench.kernel.populate(bench.cpu(), mm, bench.range(700));
    ReclaimControl control;
    control.nr_to_scan = 100;  // some of it is in swap then
    bench.kernel.reclaim_pages(bench.cpu(), control);
    REQUIRE(bench.kernel.state().swap.used() > 0);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(700));
    CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == before);
    CHECK(bench.kernel.state().swap.used() == 0);
    const MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.vm_rss == 0);
    CHECK(status.vm_swap == 0);
}

TEST_CASE("munmap: a table that another mapping needs stays", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2, 2));
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "freed_tables") == 0);
    CHECK(bench.trace().count(Event::kPageFree) == 2);
    CHECK(bench.pte(mm, 1).present());
    CHECK_FALSE(bench.pte(mm, 2).present());
}

TEST_CASE("munmap: a hole splits the mapping and both rests are still found by the reverse map",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(6, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2, 2));
    REQUIRE(mm.mmap.size() == 2);
    CHECK(mm.find_vma(bench.page(1))->vm_end == bench.page(2));
    CHECK_FALSE(mm.find_vma(bench.page(3)));
    CHECK(mm.find_vma(bench.page(4))->vm_start == bench.page(4));
    CHECK(mm.total_vm == 4);
    for (const std::uint64_t index : {0, 5}) {
        Page& page = bench.isolate(mm, index);
        REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
        CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
        CHECK(bench.trace().count(Event::kTryToUnmapOne) == 1);
        unlock_page(bench.cpu(), page);
    }
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(5), Access::kWrite));
    CHECK_FALSE(bench.kernel.touch(bench.cpu(), mm, bench.page(2), Access::kWrite));
}

TEST_CASE("munmap: what reclaim deferred is flushed before entries are trusted", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1}, KernelBench::kColdCleaned);
    ReclaimControl control;
    control.nr_to_reclaim = 1;
    control.nr_to_scan = 1;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    bench.trace().clear();
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    CHECK(bench.values(Event::kFlushTlbBatchedPending, "batched") == std::vector<std::uint64_t>{1});
    // The whole mm first, then the gather's range.
    CHECK(bench.order({Event::kFlushTlbBatchedPending, Event::kFlushTlbMmRange,
                       Event::kTlbFlushBatchedClear, Event::kPteClear}) ==
          "flush_tlb_batched_pending flush_tlb_mm_range tlb_flush_batched_clear pte_clear "
          "flush_tlb_mm_range");
    CHECK(bench.trace().find(Event::kFlushTlbMmRange)[0].arguments[2] == kAllAddresses.end.value);
    CHECK(bench.machine.memory()[mm.tlb_flush_batched].value == 0);
}

TEST_CASE("munmap: a dirty page of a file is flushed before its table is unlocked",
          "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 2);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(2));
    bench.run(0, mm);
    bench.trace().clear();
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    CHECK(bench.order({Event::kSetPageDirty, Event::kPageRemoveRmap, Event::kFlushTlbMmRangeRet,
                       Event::kPtlUnlock}) ==
          "set_page_dirty page_remove_rmap set_page_dirty page_remove_rmap flush_tlb_mm_range_ret "
          "ptl_unlock flush_tlb_mm_range_ret");
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_file == 0);
    CHECK(file.i_mmap.empty());
}

TEST_CASE("munmap: more pages than a gather holds are freed in between", "[unit][rmap]") {
    KernelBench bench;
    constexpr std::uint64_t kFull = 8 + 19 * 510;
    Mm& mm = bench.anon_mm(kFull + 5, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(kFull + 5));
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 2);
    const auto end = bench.trace().first(Event::kFlushTlbMmRange).arguments[2];
    CHECK(end == bench.page(kFull).value);
}

TEST_CASE("munmap: another open gather widens the flush to the whole range", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(8));
    bench.kernel.populate(bench.cpu(), mm, bench.range(1, 1));
    bench.run(0, mm);
    bench.trace().clear();
    bench.machine.memory()[mm.tlb_flush_pending] = {1, 0};  // somebody on another CPU
    REQUIRE(bench.kernel.munmap(bench.cpu(), mm, bench.range(3)) == 1);
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "start") == bench.page(0).value);
    CHECK(bench.trace().argument(flushed, "end") == bench.page(3).value);
    CHECK(bench.machine.memory()[mm.tlb_flush_pending].value == 1);
}

TEST_CASE("munmap: a page that leaves its last table leaves the swap cache too", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    bench.kernel.reclaim_pages(bench.cpu(), {});
    for (Mm* mm : {&parent, &child})
        REQUIRE(bench.kernel.touch(bench.cpu(), *mm, bench.page(0), Access::kRead));
    REQUIRE(bench.mapped_page(parent, 0).test(bench.cpu(), PageFlag::kSwapCache));
    bench.kernel.munmap(bench.cpu(), parent, bench.range(1));
    CHECK(bench.kernel.state().swap.used() == 1);
    bench.kernel.munmap(bench.cpu(), child, bench.range(1));
    CHECK(bench.kernel.state().swap.used() == 0);
}

TEST_CASE("munmap: a range that was never touched needs no flush", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(4));
    bench.run(0, mm);
    bench.trace().clear();
    CHECK(bench.kernel.munmap(bench.cpu(), mm, bench.range(4)) == 0);
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
}

TEST_CASE("munmap: the operation covers the whole call and its parts add up", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0, 1});
    const Instant begin = bench.cpu().now();
    bench.kernel.munmap(bench.cpu(), mm, bench.range(3));
    const OperationResult result = bench.machine.account(0).finished().back();
    CHECK(result.kind == OperationKind::kMunmap);
    CHECK(result.pages == 3);
    CHECK(result.begin == begin);
    CHECK(result.end == bench.cpu().now());
    CHECK(result.parts.sum() == result.end - result.begin);
    CHECK(result.parts[Part::kSyscall] ==
          bench.machine.costs().syscall_entry + bench.machine.costs().syscall_exit);
    CHECK(result.parts[Part::kPageTables].ps > 0);
}
