// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mremap.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

constexpr std::uint64_t kFar = 64ull << 18;  ///< pages: 64 GiB, as in the captures

MremapRequest move(std::uint64_t pages, std::uint64_t to = kFar, std::uint64_t from = 0) {
    return {KernelBench::range(pages, from), pages, KernelBench::page(to)};
}

/// The page at `index` is found by the reverse map, in one place.
void check_reverse_map(KernelBench& bench, Mm& mm, std::uint64_t index) {
    Page& page = bench.isolate(mm, index);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
    unlock_page(bench.cpu(), page);
}

}  // namespace

TEST_CASE("mremap: entries move under both locks and are flushed before these are dropped",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0, 1});
    bench.watch(mm);
    Page& page = bench.mapped_page(mm, 2);
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(4)) == Errno::kNone);
    // o_mremap_n4_none, with what cannot be seen there.
    CHECK(bench.order({Event::kMovePageTables, Event::kMnStart, Event::kPtlLock,
                       Event::kFlushTlbBatchedPending, Event::kPteClear, Event::kPteSet,
                       Event::kFlushTlbMmRangeRet, Event::kPtlUnlock, Event::kMnEnd,
                       Event::kTlbGatherMmu, Event::kUnmapPageRange, Event::kFreePgtables,
                       Event::kTlbFinishMmu, Event::kMnInvalidateRange, Event::kTlbFinishMmuRet}) ==
          "move_page_tables mn_range_start ptl_lock ptl_lock flush_tlb_batched_pending "
          "pte_clear pte_set pte_clear pte_set pte_clear pte_set pte_clear pte_set "
          "flush_tlb_mm_range_ret ptl_unlock ptl_unlock mn_range_end "
          "tlb_gather_mmu mn_range_start unmap_page_range ptl_lock flush_tlb_batched_pending "
          "ptl_unlock mn_range_end free_pgtables tlb_finish_mmu flush_tlb_mm_range_ret mn_range "
          "tlb_finish_mmu_ret");
    const auto moved = bench.trace().first(Event::kMovePageTables);
    CHECK(bench.trace().argument(moved, "old") == bench.page(0).value);
    CHECK(bench.trace().argument(moved, "new") == bench.page(kFar).value);
    CHECK(bench.trace().argument(moved, "len") == 0x4000);
    const auto flushes = bench.trace().find(Event::kFlushTlbMmRange);
    REQUIRE(flushes.size() == 2);
    CHECK(bench.trace().argument(flushes[0], "end") == bench.page(4).value);
    CHECK(bench.trace().argument(flushes[0], "stride") == 12);
    // The gather frees only tables: a range of one page, in steps of a table (amendment A2).
    CHECK(bench.trace().argument(flushes[1], "start") == bench.page(0).value);
    CHECK(bench.trace().argument(flushes[1], "end") == bench.page(1).value);
    CHECK(bench.trace().argument(flushes[1], "stride") == 21);
    CHECK(bench.trace().argument(flushes[1], "freed_tables") == 1);

    CHECK(bench.pte(mm, 2).none());
    CHECK(&bench.mapped_page(mm, kFar + 2) == &page);
    CHECK(bench.pte(mm, kFar + 2).dirty());
    CHECK(page.index == page_of(bench.page(2)).value);
    CHECK(mm.total_vm == 4);
    CHECK(mm.hiwater_vm <= 4);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_peak == 4);
    check_reverse_map(bench, mm, kFar + 2);
}

TEST_CASE("mremap: what is mapped at the new place goes first", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(6, {0});
    Page& page = bench.mapped_page(mm, 1);
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(2, 3)) == Errno::kNone);
    CHECK(&bench.mapped_page(mm, 4) == &page);
    CHECK(bench.pte(mm, 0).none());
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 4);
    CHECK(mm.total_vm == 4);
    for (const std::uint64_t index : {2, 3, 4, 5}) check_reverse_map(bench, mm, index);
}

TEST_CASE("mremap: nothing is flushed where no present entry moved", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1}, KernelBench::kColdDirty);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1, 2));  // keeps the table
    bench.kernel.reclaim_pages(bench.cpu(), {});
    REQUIRE(bench.pte(mm, 0).swap_type());
    bench.machine.memory()[mm.tlb_flush_batched] = {};
    bench.trace().clear();
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(2)) == Errno::kNone);
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
    CHECK(bench.pte(mm, kFar).swap_type());
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_swap == 2);
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(kFar), Access::kRead));
}

TEST_CASE("mremap: 2 MiB that are aligned change hands as a table", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(512 + 3, {0, 1});
    Page& page = bench.mapped_page(mm, 17);
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(512 + 3)) == Errno::kNone);
    CHECK(bench.trace().count(Event::kMoveNormalPmd) == 1);
    CHECK(bench.trace().count(Event::kPteClear) == 3);
    // The rest goes entry by entry, and munmap finds tables, but nothing in them.
    CHECK(bench.order({Event::kMoveNormalPmd, Event::kFlushTlbMmRange, Event::kPtlUnlock,
                       Event::kPteClear}) ==
          "move_normal_pmd flush_tlb_mm_range ptl_unlock ptl_unlock pte_clear pte_clear pte_clear "
          "flush_tlb_mm_range ptl_unlock ptl_unlock ptl_unlock flush_tlb_mm_range");
    CHECK(&bench.mapped_page(mm, kFar + 17) == &page);
    check_reverse_map(bench, mm, kFar + 17);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(515, kFar));
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_pte == 0);
}

TEST_CASE("mremap: a place that is not aligned alike gets the entries one by one", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(512, {0});
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(512, kFar + 100)) == Errno::kNone);
    CHECK(bench.trace().count(Event::kMoveNormalPmd) == 0);
    CHECK(bench.trace().count(Event::kPteClear) == 512);
    CHECK(bench.pte(mm, kFar + 100).present());
    CHECK(bench.pte(mm, kFar + 611).present());
}

TEST_CASE("mremap: a VMA that was merged into its neighbour is moved under the rmap locks",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(6, {0});
    // Away and back to where it was: there it continues the rest of the mapping.
    REQUIRE(bench.kernel.mremap(bench.cpu(), mm, move(2, kFar, 4)) == Errno::kNone);
    REQUIRE(mm.mmap.size() == 2);
    bench.trace().clear();
    REQUIRE(bench.kernel.mremap(bench.cpu(), mm, move(2, 4, kFar)) == Errno::kNone);
    CHECK(mm.mmap.size() == 1);
    CHECK(mm.find_vma(bench.page(0))->range() == bench.range(6));
    // After those of vma_merge: one more hold, around the move of the entries.
    CHECK(bench.order({Event::kRmapLock, Event::kRmapUnlock, Event::kMovePageTables,
                       Event::kFlushTlbBatchedPending, Event::kTlbGatherMmu}) ==
          "rmap_lock rmap_unlock move_page_tables rmap_lock flush_tlb_batched_pending rmap_unlock "
          "tlb_gather_mmu flush_tlb_batched_pending rmap_lock rmap_unlock");
    for (std::uint64_t index = 0; index < 6; ++index) check_reverse_map(bench, mm, index);
}

TEST_CASE("mremap: a mapping that was never touched takes new offsets", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(2)) == Errno::kNone);
    CHECK(mm.find_vma(bench.page(kFar))->vm_pgoff == page_of(bench.page(kFar)).value);
    CHECK_FALSE(mm.find_vma(bench.page(0)));
}

TEST_CASE("mremap: growing and shrinking where it is", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    CHECK(bench.kernel.mremap(bench.cpu(), mm, {bench.range(4), 6, {}}) == Errno::kNone);
    CHECK(mm.find_vma(bench.page(5))->range() == bench.range(6));
    CHECK(mm.total_vm == 6);
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(5), Access::kWrite));
    bench.trace().clear();
    CHECK(bench.kernel.mremap(bench.cpu(), mm, {bench.range(6), 3, {}}) == Errno::kNone);
    CHECK(bench.values(Event::kMmapSemUnlock, "write") == std::vector<std::uint64_t>{0});
    CHECK(mm.total_vm == 3);
    CHECK(mm.hiwater_vm == 6);
    CHECK(bench.pte(mm, 3).none());

    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1, 4));
    CHECK(bench.kernel.mremap(bench.cpu(), mm, {bench.range(3), 5, {}}) == Errno::kNoMemory);
    CHECK(bench.kernel.mremap(bench.cpu(), mm, {bench.range(5), 6, {}}) == Errno::kFault);
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(3, 1)) == Errno::kInvalid);
}

TEST_CASE("mremap: what a locked mapping gains is faulted in without the write lock",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(2)) == Errno::kNone);
    const bool moves = GENERATE(false, true);
    const std::uint64_t first = moves ? kFar : 0;
    MremapRequest request{bench.range(2), 4, {}};
    if (moves) request.new_address = bench.page(kFar);
    bench.trace().clear();
    CHECK(bench.kernel.mremap(bench.cpu(), mm, request) == Errno::kNone);
    CHECK(bench.values(Event::kMmapSemUnlock, "write") == std::vector<std::uint64_t>{1, 0});
    CHECK(bench.values(Event::kHandleMmFault, "addr") ==
          std::vector<std::uint64_t>{bench.page(first + 2).value, bench.page(first + 3).value});
    CHECK(bench.pte(mm, first + 3).writable());
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_lck == 4);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(4, first));
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_lck == 0);
}

TEST_CASE("mremap: an empty place and one that does not begin with a page are refused",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    const auto remap = [&](const MremapRequest& request) {
        return bench.kernel.mremap(bench.cpu(), mm, request);
    };
    CHECK(remap({bench.range(2), 0, {}}) == Errno::kInvalid);
    CHECK(remap({bench.range(0), 1, {}}) == Errno::kInvalid);
    CHECK(remap({{bench.page(0) + 8, bench.page(2) + 8}, 2, {}}) == Errno::kInvalid);
    CHECK(bench.trace().count(Event::kMmapSemLock) == 0);
    CHECK(remap({bench.range(2), 2, bench.page(kFar) + 8}) == Errno::kInvalid);
    CHECK(bench.pte(mm, 1).present());
}

TEST_CASE("mremap: a file's pages keep their places in the file", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 4);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(4), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(4), KernelBench::kColdDirty);
    Page& page = bench.mapped_page(mm, 3);
    CHECK(bench.kernel.mremap(bench.cpu(), mm, move(2, kFar, 2)) == Errno::kNone);
    CHECK(mm.find_vma(bench.page(kFar))->vm_pgoff == 2);
    CHECK(file.i_mmap.size() == 2);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_file == 4);
    CHECK(bench.kernel.state().lru.isolate_lru_page(bench.cpu(), page));
    lock_page(bench.cpu(), page);
    CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
    CHECK(bench.pte(mm, kFar + 1).none());
    unlock_page(bench.cpu(), page);
}
