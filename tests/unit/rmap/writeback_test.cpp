// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_writeback.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/file_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FileBench;
using mmusim::test::KernelBench;

namespace {

constexpr Duration kDiskWrite = nanoseconds(500'000'000);  // longer than any list takes

ReclaimControl reclaim_inactive() {
    ReclaimControl control;
    control.aging = Aging::kForbidden;
    return control;
}

KernelBench::Config on_disk() {
    KernelBench::Config config;
    config.swap_device = SwapDevice::kDisk;
    return config;
}

/// What the disk's interrupt does once a write is over, and what makes the pages reach the tails.
void end_writes(KernelBench& bench) {
    end_finished_writes(bench.cpu(), bench.kernel.state());
    bench.drain();
}

/// What fsync() does to the first mapping of a page, and to another one.
const std::string kMkcleanOne =
    "page_mkclean_one page_vma_mapped_walk page_vma_mapped_walk_ret ptep_clear_flush "
    "flush_tlb_mm_range flush_tlb_mm_range_ret ptep_clear_flush_ret mkclean_set_pte "
    "page_vma_mapped_walk page_vma_mapped_walk_ret ";

/// What that test leaves out: the inside of a flush, and the notifier calls.
constexpr auto kDetails = {
    Event::kFlushTlbOthers, Event::kFlushTlbOthersRet, Event::kTlbFlush,
    Event::kFlushTlbFunc,   Event::kFlushTlbFuncRet,   Event::kTlbIsNotLazyRet,
    Event::kTlbIsNotLazy,   Event::kMnStart,           Event::kMnStartRet,
    Event::kMnEnd,          Event::kMnEndRet,          Event::kMnInvalidateRange};

}  // namespace

TEST_CASE("fsync: every mapping of every page is cleaned before it is written", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {0, 1, 2});
    for (Mm* mm : bench.mms) bench.watch(*mm);
    bench.kernel.fsync(bench.cpu(), bench.file);
    // Capture c_fsync_file_dirty_p3_n4 of a 5.0.1 kernel.
    const std::string page = "page_mkclean rmap_walk_file " + kMkcleanOne + kMkcleanOne +
                             kMkcleanOne + "rmap_walk_file_ret page_mkclean_ret set_page_dirty ";
    CHECK(bench.captured(Event::kOperationBegin, Event::kOperationEnd, kDetails) ==
          "ext4_writepages " + page + page + "free_unref_page_list free_unref_page_list");
    CHECK(bench.values(Event::kPageMkcleanRet, "ret") == std::vector<std::uint64_t>{3, 3});
    CHECK(bench.values(Event::kPageMkcleanOne, "mm") ==
          std::vector<std::uint64_t>{2, 4, 3, 2, 4, 3});  // the youngest child first
    // The section of one mapping: a permission goes, so nothing is invalidated under the lock.
    CHECK(bench.canonical(Event::kPageMkcleanOne, Event::kMkcleanSetPte)
              .rfind("MN.START, PTL+, PTE.CLR, FL1", 0) == 0);
    for (Mm* mm : bench.mms)
        for (unsigned i = 0; i < 2; ++i) {
            CHECK_FALSE(bench.pte(*mm, i).writable());
            CHECK_FALSE(bench.pte(*mm, i).dirty());
            CHECK(bench.mapped_page(*mm, i).refcount(bench.cpu()) == 4);
        }
}

TEST_CASE("fsync: it returns when the last page is written", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 20, {0});
    bench.machine.costs().disk_write = kDiskWrite;
    bench.kernel.fsync(bench.cpu(), bench.file);
    const auto ended = bench.trace().find(Event::kEndPageWriteback);
    REQUIRE(ended.size() == 20);
    CHECK(bench.cpu().now() > bench.trace().find(Event::kPageMkclean).back().time + kDiskWrite);
    for (unsigned i = 0; i < 20; ++i) {
        const Page& page = bench.mapped_page(*bench.mms[0], i);
        CHECK_FALSE(page.test(bench.cpu(), PageFlag::kWriteback));
        CHECK_FALSE(page.test(bench.cpu(), PageFlag::kDirty));
    }
    // Two pagevecs are written and two are waited for.
    CHECK(bench.trace().count(Event::kFreeUnrefPageList) == 4);
    for (const auto& result : bench.machine.account(0).finished())
        if (result.kind == OperationKind::kFsync)
            CHECK(result.parts.sum() == result.end - result.begin);
}

TEST_CASE("fsync: the next store to a page faults and tells the file", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    bench.kernel.fsync(bench.cpu(), bench.file);
    bench.trace().clear();
    REQUIRE(bench.kernel.touch(bench.cpu(1), *bench.mms[0], bench.page(0), Access::kWrite));
    // page_mkwrite() first, then fault_dirty_shared_page().
    CHECK(bench.order_of(
              1, {Event::kPageFault, Event::kSetPageDirty, Event::kPteSet, Event::kPageFaultRet}) ==
          "page_fault_user set_page_dirty pte_set set_page_dirty page_fault_user_ret");
    CHECK(bench.pte(*bench.mms[0], 0).writable());
    CHECK(bench.mapped_page(*bench.mms[0], 0).test(bench.cpu(), PageFlag::kDirty));
}

TEST_CASE("fsync: a page is written again after a store and only then", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    Page& page = bench.mapped_page(*bench.mms[0], 0);
    bench.kernel.fsync(bench.cpu(), bench.file);
    REQUIRE(bench.kernel.touch(bench.cpu(1), *bench.mms[0], bench.page(0), Access::kWrite));
    bench.trace().clear();
    bench.kernel.fsync(bench.cpu(), bench.file);
    CHECK(bench.trace().count(Event::kEndPageWriteback) == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kDirty));
    bench.trace().clear();
    bench.kernel.fsync(bench.cpu(), bench.file);
    CHECK(bench.trace().count(Event::kPageMkclean) == 0);
}

TEST_CASE("fsync: private mappings of a page stay as they are", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    Mm& reader = bench.kernel.create_mm(bench.cpu(), "reader");
    bench.kernel.mmap_file(bench.cpu(), reader, bench.range(1), bench.file, 0,
                           Kernel::Sharing::kPrivate);
    bench.kernel.populate(bench.cpu(), reader, bench.range(1), KernelBench::kColdRead);
    bench.kernel.fsync(bench.cpu(), bench.file);
    CHECK(bench.values(Event::kPageMkcleanOne, "mm") ==
          std::vector<std::uint64_t>{bench.mms[0]->context.id});
}

TEST_CASE("fault: the first write to a page of a file tells the file before and after",
          "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.trace().clear();
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
    // page_mkwrite(), the entry, fault_dirty_shared_page().
    CHECK(bench.order({Event::kSetPageDirty, Event::kPageAddFileRmap, Event::kPteSet}) ==
          "set_page_dirty page_add_file_rmap pte_set set_page_dirty");
}

TEST_CASE("set_page_dirty: reclaim no longer waits for a page that was dirtied again",
          "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    Mm& other = bench.kernel.create_mm(bench.cpu(), "other");
    bench.kernel.mmap_anon(bench.cpu(), other, bench.range(1));
    bench.kernel.populate(bench.cpu(), other, bench.range(1));
    Page& of_file = bench.mapped_page(*bench.mms[0], 0);
    Page& anon = bench.mapped_page(other, 0);
    for (Page* page : {&of_file, &anon}) {
        page->set(bench.cpu(), PageFlag::kReclaim);
        set_page_dirty(bench.cpu(), bench.kernel.state(), *page);
    }
    CHECK_FALSE(of_file.test(bench.cpu(), PageFlag::kReclaim));
    CHECK(anon.test(bench.cpu(), PageFlag::kReclaim));  // it has no mapping
}

TEST_CASE("msync: it writes what shared mappings of files cover and nothing else", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 4, {0});
    Mm& mm = *bench.mms[0];
    CHECK(bench.kernel.msync(bench.cpu(), mm, bench.range(2, 1)) == Errno::kNone);
    CHECK_FALSE(bench.pte(mm, 1).dirty());
    CHECK_FALSE(bench.pte(mm, 2).dirty());
    CHECK(bench.pte(mm, 0).dirty());
    CHECK(bench.pte(mm, 3).dirty());
    CHECK(bench.kernel.msync(bench.cpu(), mm, bench.range(2, 3)) ==
          Errno::kNoMemory);  // ends behind the VMA
    CHECK_FALSE(bench.pte(mm, 3).dirty());
    // mmap_sem is not held while it writes, and not taken again behind the last file.
    CHECK(bench.order({Event::kMmapSemLock, Event::kMmapSemUnlock, Event::kFileWritepages}) ==
          "mmap_sem_lock mmap_sem_unlock ext4_writepages "
          "mmap_sem_lock mmap_sem_unlock ext4_writepages mmap_sem_lock mmap_sem_unlock");
}

TEST_CASE("swap on a disk: a page is kept while it is written and then freed without another write",
          "[unit][rmap]") {
    KernelBench bench(on_disk());
    Mm& mm = bench.anon_mm(3, {1});
    bench.machine.costs().disk_write = kDiskWrite;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 0);
    // Capture a_reclaim_anon_dirty_diskswap_n64: no __remove_mapping after the write.
    CHECK(bench.order({Event::kSwapWritepage, Event::kTryToFreeSwap, Event::kDoSwapWritepage,
                       Event::kSwapWritepageRet, Event::kVmscanWritepage, Event::kRemoveMapping,
                       Event::kPageReferenced, Event::kShrinkPageListRet}) ==
          "page_referenced swap_writepage try_to_free_swap __swap_writepage swap_writepage_ret "
          "mm_vmscan_writepage page_referenced swap_writepage try_to_free_swap __swap_writepage "
          "swap_writepage_ret mm_vmscan_writepage page_referenced swap_writepage "
          "try_to_free_swap __swap_writepage swap_writepage_ret mm_vmscan_writepage "
          "shrink_page_list_ret shrink_page_list_ret");
    // They were met again, before they were written, and put aside.
    CHECK(bench.values(Event::kShrinkInactive, "nr_activate") == std::vector<std::uint64_t>{0, 3});
    CHECK(bench.values(Event::kShrinkInactive, "nr_writeback") == std::vector<std::uint64_t>{0, 3});
    CHECK(bench.values(Event::kShrinkInactive, "nr_dirty") == std::vector<std::uint64_t>{0, 0});
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_swap == 3);

    bench.machine.time(0).spend(kDiskWrite, Part::kUser);
    bench.trace().clear();
    end_writes(bench);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 3);
    CHECK(bench.order({Event::kEndPageWriteback, Event::kSwapWritepage, Event::kPageReferenced,
                       Event::kRemoveMapping, Event::kPageFree}) ==
          "end_page_writeback end_page_writeback end_page_writeback page_referenced "
          "__remove_mapping page_referenced __remove_mapping page_referenced __remove_mapping "
          "mm_page_free mm_page_free mm_page_free");
}

TEST_CASE("swap on a disk: what was written last is at the tail and reclaimed first",
          "[unit][rmap]") {
    KernelBench bench(on_disk());
    Mm& mm = bench.anon_mm(4, {1});
    std::vector<std::uint64_t> frames;
    for (unsigned i = 0; i < 4; ++i) frames.push_back(bench.mapped_page(mm, i).pfn().value);
    bench.machine.costs().disk_write = kDiskWrite;
    ReclaimControl control = reclaim_inactive();
    control.nr_to_scan = 3;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    bench.machine.time(0).spend(kDiskWrite, Part::kUser);
    bench.trace().clear();
    bench.kernel.reclaim_pages(bench.cpu(), control);
    // The fourth, which was nearer to the tail, has to wait.
    CHECK(bench.values(Event::kRemoveMapping, "pfn") ==
          std::vector<std::uint64_t>{frames[2], frames[1], frames[0]});
}

TEST_CASE("swap on a disk: a write is over at one instant and not before", "[unit][rmap]") {
    const std::uint64_t early = GENERATE(1u, 0u);
    KernelBench bench(on_disk());
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    bench.machine.costs().disk_write = kDiskWrite;
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    const Instant end = *bench.kernel.state().disk.write_ends_at(bench.cpu(), page);
    // The page's flag, the disk's count and its lock are looked at before the time is.
    const std::uint64_t looking = 3 * bench.machine.plain_costs().memory_access.ps;
    bench.machine.time(0).idle_until(Instant{end.ps - looking - early});
    CHECK(page_writeback(bench.cpu(), bench.kernel.state(), page) == (early > 0));
    CHECK(bench.trace().count(Event::kEndPageWriteback) == 1 - early);
}

TEST_CASE("swap on a disk: a page that is freed during its write leaves with the next reclaim",
          "[unit][rmap]") {
    KernelBench bench(on_disk());
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    bench.machine.costs().disk_write = kDiskWrite;
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1));
    CHECK(page.test(bench.cpu(), PageFlag::kSwapCache));
    CHECK(bench.kernel.state().swap.used() == 1);
    bench.machine.time(0).spend(kDiskWrite, Part::kUser);
    end_writes(bench);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 1);
    CHECK(bench.kernel.state().swap.used() == 0);
}

TEST_CASE("swap on a disk: migration waits for the write of the page from its fourth attempt on",
          "[unit][rmap]") {
    KernelBench bench(on_disk());
    Mm& mm = bench.anon_mm(1, {1});
    bench.machine.costs().disk_write = kDiskWrite;
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    REQUIRE(bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead));
    bench.trace().clear();
    CHECK(bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1).succeeded == 1);
    CHECK(bench.order({Event::kEndPageWriteback, Event::kTryToUnmap, Event::kPageFree}) ==
          "mm_page_free mm_page_free mm_page_free end_page_writeback try_to_unmap mm_page_free");
}

TEST_CASE("swap on a disk: a page that is written to during its write keeps its content",
          "[unit][rmap]") {
    KernelBench bench(on_disk());
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    bench.machine.costs().disk_write = kDiskWrite;
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    // The slot's content may be either; the page stays in the swap cache until the write is over.
    REQUIRE(bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kWrite));
    CHECK(bench.pte(mm, 0).frame() == page.pfn());
    CHECK(page.test(bench.cpu(), PageFlag::kSwapCache));
    CHECK(page.test(bench.cpu(), PageFlag::kWriteback));
    bench.machine.time(0).spend(kDiskWrite, Part::kUser);
    bench.kernel.arrange(bench.cpu(), mm, bench.range(1), KernelBench::kColdDirty);
    bench.trace().clear();
    bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive());
    CHECK(bench.trace().count(Event::kDoSwapWritepage) == 1);  // it is written anew
    CHECK(bench.kernel.state().swap.used() == 1);
}

TEST_CASE("reclaim: a page of a file under write-back is put aside and marked", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    bench.machine.costs().disk_write = kDiskWrite;
    Page& page = bench.mapped_page(*bench.mms[0], 0);
    lock_page(bench.cpu(), page);
    REQUIRE(clear_page_dirty_for_io(bench.cpu(), bench.kernel.state(), page));
    ext4_writepage(bench.cpu(), bench.kernel.state(), page);
    bench.trace().clear();
    ReclaimControl control = reclaim_inactive();
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    const auto shrunk = bench.trace().first(Event::kShrinkInactive);
    CHECK(bench.trace().argument(shrunk, "nr_dirty") == 1);
    CHECK(bench.trace().argument(shrunk, "nr_writeback") == 1);
    CHECK(bench.trace().argument(shrunk, "nr_activate") == 1);
    CHECK(page.test(bench.cpu(), PageFlag::kReclaim));
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    // Once it is written it waits at the tail of the inactive list.
    bench.machine.time(0).spend(kDiskWrite, Part::kUser);
    end_writes(bench);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 1);
}

TEST_CASE("reclaim: a group of cgroup v1 waits for a page that it has marked", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    bench.machine.costs().disk_write = kDiskWrite;
    Page& page = bench.mapped_page(*bench.mms[0], 0);
    lock_page(bench.cpu(), page);
    REQUIRE(clear_page_dirty_for_io(bench.cpu(), bench.kernel.state(), page));
    page.set(bench.cpu(), PageFlag::kReclaim);
    ext4_writepage(bench.cpu(), bench.kernel.state(), page);
    const Instant before = bench.cpu().now();
    ReclaimControl control = reclaim_inactive();
    control.memcg = 0;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 1);
    CHECK(bench.cpu().now() - before > nanoseconds(400'000'000));
    CHECK(bench.order({Event::kShrinkPageList, Event::kEndPageWriteback, Event::kPageReferenced,
                       Event::kShrinkPageListRet}) ==
          "shrink_page_list end_page_writeback page_referenced shrink_page_list_ret");
}

TEST_CASE("reclaim: kswapd writes pages of files that it meets twice on a dirty node",
          "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {1});
    bench.machine.costs().disk_write = kDiskWrite;
    ReclaimControl control;
    control.reclaimer = Reclaimer::kKswapd;
    // The first round marks and activates them, and flags the node; they age, and are written.
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.trace().count(Event::kFileWritepage) == 2);
    CHECK(bench
              .order({Event::kShrinkInactive, Event::kTryToUnmapFlushDirty, Event::kPageMkclean,
                      Event::kPageSealed, Event::kFileWritepage, Event::kVmscanWritepage})
              .rfind("mm_vmscan_lru_shrink_inactive try_to_unmap_flush_dirty page_mkclean "
                     "page_sealed ext4_writepage mm_vmscan_writepage try_to_unmap_flush_dirty",
                     0) == 0);
    CHECK(bench.values(Event::kVmscanWritepage, "flags") == std::vector<std::uint64_t>{0xa, 0xa});
    bench.machine.time(0).spend(kDiskWrite, Part::kUser);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 2);
}

TEST_CASE("reclaim: a direct reclaimer never writes a page of a file", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {1});
    bench.kernel.state().lru.set_pgdat_flag(bench.cpu(), 0, PgdatFlag::kDirty);
    bench.kernel.reclaim_pages(bench.cpu(), {});
    CHECK(bench.trace().count(Event::kFileWritepage) == 0);
    CHECK(bench.trace().count(Event::kPageMkclean) == 0);
}

TEST_CASE("fault: a page that is read back gives its slot up while swap is more than half full",
          "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_slots = 3;
    KernelBench bench(config);
    Mm& mm = bench.anon_mm(2, {1});
    REQUIRE(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 2);
    // Read back by two processes: in the swap cache, and its slot is needed by one of them.
    Mm& child = bench.kernel.fork(bench.cpu(), mm, "child");
    for (Mm* each : {&mm, &child})
        REQUIRE(bench.kernel.touch(bench.cpu(), *each, bench.page(0), Access::kRead));
    Page& page = bench.mapped_page(mm, 0);
    CHECK(bench.trace().count(Event::kDeleteFromSwapCache) == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kSwapCache));
    CHECK(bench.kernel.state().swap.used() == 1);
}

TEST_CASE("reclaim: an activated page gives its slot up while swap is more than half full",
          "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_slots = GENERATE(1u, 2u);
    KernelBench bench(config);
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    // Used between add_to_swap() and try_to_unmap().
    bench.trace().at_next(Event::kAddToSwapRet, 0, [&] {
        bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead);
    });
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), reclaim_inactive()).reclaimed == 0);
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    const bool full = config.swap_slots == 1;
    CHECK(page.test(bench.cpu(), PageFlag::kSwapCache) == !full);
    CHECK(bench.kernel.state().swap.used() == (full ? 0 : 1));
}

TEST_CASE("reclaim: anonymous pages are not looked at without free slots", "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_slots = 1;
    KernelBench bench(config);
    bench.anon_mm(3, {1});
    // Captures p_swapfull_reclaim_n64 and p_noswap_reclaim_n4: the list during which swap became
    // full goes on, the next one is not begun.
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), {}).scanned == 3);
    CHECK(bench.values(Event::kAddToSwapRet, "ret") == std::vector<std::uint64_t>{1, 0, 0});
    bench.trace().clear();
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), {}).scanned == 0);
    CHECK(bench.trace().count(Event::kPageReferenced) == 0);
}
