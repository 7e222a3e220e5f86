// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/shmem.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/file_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FileBench;
using mmusim::test::KernelBench;

namespace {

ReclaimControl reclaim_inactive() {
    ReclaimControl control;
    control.aging = Aging::kForbidden;
    return control;
}

std::uint64_t slot_of(FileBench& bench, std::uint64_t index) {
    return bench.machine.memory()[bench.file.slot(index)].value;
}

}  // namespace

TEST_CASE("shmem: a page that three processes map is reclaimed in the captured order",
          "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 1, {1, 2, 3});
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    // Capture d_reclaim_shmem_p3_n1 of a 5.0.1 kernel, one list.
    const std::string unmap_one =
        "try_to_unmap_one page_vma_mapped_walk page_vma_mapped_walk_ret ptep_clear_flush_young "
        "ptep_clear_flush_young_ret pte_clear_defer ubc_tlb_gen_inc ubc_flush_required "
        "ubc_batched_set ubc_writable set_page_dirty page_remove_rmap page_vma_mapped_walk "
        "page_vma_mapped_walk_ret try_to_unmap_one_ret ";
    CHECK(bench.captured(Event::kTryToUnmap, Event::kTryToUnmapRet) ==
          "rmap_walk_file " + unmap_one + unmap_one + unmap_one + "rmap_walk_file_ret");
    CHECK(bench.captured(Event::kTryToUnmapRet, Event::kShrinkInactive,
                         {Event::kFlushTlbOthers, Event::kTlbFlush, Event::kTlbIsNotLazy,
                          Event::kTlbIsNotLazyRet, Event::kFlushTlbOthersRet}) ==
          "try_to_unmap_flush_dirty arch_tlbbatch_flush arch_tlbbatch_flush_ret shmem_writepage "
          "swap_writepage try_to_free_swap __swap_writepage swap_writepage_ret "
          "mm_vmscan_writepage __remove_mapping __remove_mapping_ret try_to_unmap_flush "
          "free_unref_page_list mm_page_free mm_page_free_batched shrink_page_list_ret "
          "free_unref_page_list");
    CHECK(bench.values(Event::kTryToUnmapFlush, "flush_required") == std::vector<std::uint64_t>{0});
    // The parent first, then its children, newest first.
    CHECK(bench.values(Event::kTryToUnmapOne, "mm") ==
          std::vector<std::uint64_t>{bench.mms[0]->context.id, bench.mms[2]->context.id,
                                     bench.mms[1]->context.id});
    // Of the swap cache, not of the file.
    CHECK(bench.values(Event::kRemoveMapping, "mapping") ==
          std::vector<std::uint64_t>{bench.kernel.state().swap.cache.mapping().raw});
}

TEST_CASE("X4: a page of shmem is counted as such and as nothing once it is unmapped",
          "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 3, {1});
    Mm& mm = *bench.mms[0];
    MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.rss_shmem == 3);
    CHECK(status.rss_file == 0);
    CHECK(status.rss_anon == 0);
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.vm_rss == 0);
    CHECK(status.vm_swap == 0);  // the page cache has the entries, no page table
    CHECK(status.vm_hwm == 3);
    CHECK(bench.pte(mm, 0).none());
    CHECK(bench.kernel.state().swap.used() == 3);
}

TEST_CASE("shmem: a page that was swapped out is read back by a fault", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 1, {1});
    Mm& mm = *bench.mms[0];
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    CHECK(slot_of(bench, 0) == swap_value_entry({0, 0}).value);
    CHECK_FALSE(find_get_page(bench.cpu(), bench.kernel.state(), bench.file, 0, Part::kFault));
    bench.trace().clear();
    REQUIRE(bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead));
    // shmem_getpage_gfp(): the page returns to the file before the slot is given up.
    CHECK(bench.order_of(1, {Event::kDeleteFromSwapCache, Event::kSetPageDirty, Event::kSwapFree,
                             Event::kPageAddFileRmap, Event::kPteSet}) ==
          "delete_from_swap_cache set_page_dirty swap_free page_add_file_rmap pte_set");
    const Page& page = bench.mapped_page(mm, 0);
    CHECK(slot_of(bench, 0) == page.pfn().value);
    bench.drain();
    CHECK(page.refcount(bench.cpu()) == 2);  // the mapping's and the page cache's
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kSwapCache));
    CHECK(bench.kernel.state().swap.used() == 0);
}

TEST_CASE("shmem: who reads a page may write it later without a fault", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 1, {1}, KernelBench::kColdRead);
    Mm& mm = *bench.mms[0];
    CHECK(bench.pte(mm, 0).writable());
    CHECK_FALSE(bench.pte(mm, 0).dirty());
    REQUIRE(bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kWrite));
    CHECK(bench.trace().count(Event::kPageFault) == 0);
    CHECK(bench.pte(mm, 0).dirty());
}

TEST_CASE("shmem: a clean page is dropped and found zeroed again", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 1, {1}, KernelBench::kColdRead);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 1);
    CHECK(bench.trace().count(Event::kShmemWritepage) == 0);
    CHECK(slot_of(bench, 0) == 0);
    CHECK(bench.kernel.touch(bench.cpu(1), *bench.mms[0], bench.page(0), Access::kRead));
}

TEST_CASE("shmem: a page stays in its file when swap is full", "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_slots = 1;
    FileBench bench(FileKind::kShmem, 2, {1}, KernelBench::kColdDirty, config);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 1);
    Page& page = *find_get_page(bench.cpu(), bench.kernel.state(), bench.file, 1, Part::kFault);
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kReclaim));
    CHECK(bench.order({Event::kShmemWritepage, Event::kSetPageDirty, Event::kVmscanWritepage}) ==
          "set_page_dirty shmem_writepage mm_vmscan_writepage set_page_dirty shmem_writepage "
          "set_page_dirty");
}

TEST_CASE("shmem: a fault waits for the write of the page that it brings back", "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_device = SwapDevice::kDisk;
    FileBench bench(FileKind::kShmem, 1, {1}, KernelBench::kColdDirty, config);
    bench.machine.costs().disk_write = nanoseconds(50'000'000);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 0);
    const Instant submitted = bench.trace().first(Event::kVmscanWritepage).time;
    REQUIRE(bench.kernel.touch(bench.cpu(), *bench.mms[0], bench.page(0), Access::kRead));
    CHECK(bench.cpu().now() - submitted > nanoseconds(49'000'000));
    CHECK(bench.order({Event::kEndPageWriteback, Event::kDeleteFromSwapCache}) ==
          "end_page_writeback delete_from_swap_cache");
    CHECK(bench.kernel.state().swap.used() == 0);
}
