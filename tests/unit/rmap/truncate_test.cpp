// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/truncate.hpp"

#include <catch2/catch.hpp>
#include <functional>

#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "tests/unit/rmap/file_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FileBench;
using mmusim::test::KernelBench;

namespace {

constexpr auto kDetails = {
    Event::kFlushTlbOthers,  Event::kFlushTlbOthersRet, Event::kTlbFlush,    Event::kFlushTlbFunc,
    Event::kFlushTlbFuncRet, Event::kTlbIsNotLazyRet,   Event::kTlbIsNotLazy};

std::uint64_t cached_pages(FileBench& bench) {
    std::uint64_t cached = 0;
    for (std::uint64_t i = 0; i < bench.file.pages; ++i)
        cached += bench.machine.memory()[bench.file.slot(i)].value != 0;
    return cached;
}

}  // namespace

TEST_CASE("punch hole: a file is written, then unmapped everywhere, then freed", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {0, 1, 2});
    std::vector<std::uint64_t> frames;
    for (unsigned i = 0; i < 2; ++i)
        frames.push_back(bench.mapped_page(*bench.mms[0], i).pfn().value);
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, bench.file.all());
    // Capture c_punch_file_p3_n4 of a 5.0.1 kernel, from the first gather on.
    const std::string gather =
        "tlb_gather_mmu unmap_page_range flush_tlb_batched_pending page_remove_rmap "
        "page_remove_rmap tlb_finish_mmu flush_tlb_mm_range flush_tlb_mm_range_ret "
        "free_unref_page_list tlb_finish_mmu_ret ";
    const std::string all = bench.captured(Event::kOperationBegin, Event::kOperationEnd, kDetails);
    CHECK(all.substr(all.find("tlb_gather_mmu")) ==
          gather + gather + gather +
              "free_unref_page_list mm_page_free mm_page_free mm_page_free_batched "
              "mm_page_free_batched");
    CHECK(all.rfind("ext4_writepages page_mkclean", 0) == 0);
    CHECK(bench.values(Event::kTlbGatherMmu, "mm") == std::vector<std::uint64_t>{2, 4, 3});
    CHECK(bench.values(Event::kPageFree, "pfn") ==
          std::vector<std::uint64_t>{frames[1], frames[0]});
    for (Mm* mm : bench.mms) CHECK(bench.kernel.status(bench.cpu(), *mm).vm_rss == 0);
    CHECK(cached_pages(bench) == 0);
}

TEST_CASE("punch hole: dirty entries of shmem are flushed under their lock", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 2, {0, 1, 2});
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, bench.file.all());
    // Capture d_punch_shmem_p3_n4 of a 5.0.1 kernel.
    const std::string gather =
        "tlb_gather_mmu unmap_page_range flush_tlb_batched_pending set_page_dirty "
        "page_remove_rmap set_page_dirty page_remove_rmap flush_tlb_mm_range "
        "flush_tlb_mm_range_ret free_unref_page_list tlb_finish_mmu tlb_finish_mmu_ret ";
    CHECK(bench.captured(Event::kOperationBegin, Event::kOperationEnd, kDetails) ==
          gather + gather + gather +
              "free_unref_page_list mm_page_free mm_page_free mm_page_free_batched "
              "mm_page_free_batched");
    CHECK(cached_pages(bench) == 0);
    // Touched again, the pages are new.
    CHECK(bench.kernel.touch(bench.cpu(), *bench.mms[0], bench.page(1), Access::kRead));
}

TEST_CASE("punch hole: one VMA after the other has a section with the lock of the file held",
          "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 1, {0, 1});
    for (Mm* mm : bench.mms) bench.watch(*mm);
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, bench.file.all());
    CHECK(bench.order({Event::kRmapLock, Event::kTlbGatherMmu, Event::kUpdateHiwaterRss,
                       Event::kMnStart, Event::kPteClear, Event::kMnEnd, Event::kTlbFinishMmu,
                       Event::kRmapUnlock}) ==
          "rmap_lock tlb_gather_mmu update_hiwater_rss mn_range_start pte_clear mn_range_end "
          "tlb_finish_mmu tlb_gather_mmu update_hiwater_rss mn_range_start pte_clear mn_range_end "
          "tlb_finish_mmu rmap_unlock");
}

TEST_CASE("punch hole: slots of pages that are swapped out are free", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 20, {1});
    bench.kernel.reclaim_pages(bench.cpu(), {});
    REQUIRE(bench.kernel.state().swap.used() == 20);
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, {3, 18});
    CHECK(bench.kernel.state().swap.used() == 4);
    CHECK(cached_pages(bench) == 4);
}

TEST_CASE("punch hole: private copies stay and a shorter file takes them along", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 2);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2), file, 0, Kernel::Sharing::kPrivate);
    bench.kernel.populate(bench.cpu(), mm, bench.range(2));
    bench.kernel.fallocate_punch_hole(bench.cpu(), file, file.all());
    CHECK(bench.pte(mm, 0).present());
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 2);
    bench.kernel.truncate(bench.cpu(), file, 1);
    CHECK(bench.pte(mm, 0).present());
    CHECK(bench.pte(mm, 1).none());
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 1);
}

TEST_CASE("truncate: a touch behind the end is a bus error until the file grows", "[unit][rmap]") {
    const FileKind kind = GENERATE(FileKind::kExt4, FileKind::kShmem);
    FileBench bench(kind, 3, {1});
    Mm& mm = *bench.mms[0];
    bench.kernel.truncate(bench.cpu(), bench.file, 1);
    CHECK(cached_pages(bench) == 1);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 1);
    for (const Access access : {Access::kRead, Access::kWrite}) {
        CHECK(bench.kernel.handle_page_fault(bench.cpu(), mm, bench.page(1), access) ==
              FaultResult::kSigbus);
        CHECK(bench.kernel.handle_page_fault(bench.cpu(), mm, bench.page(0), access) ==
              FaultResult::kHandled);
    }
    // Unmapped, freed, and unmapped once more for copies that were made meanwhile.
    CHECK(bench.trace().count(Event::kTlbGatherMmu) == 2);
    bench.kernel.truncate(bench.cpu(), bench.file, 2);
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(1), Access::kWrite));
}

TEST_CASE("truncate: a file does not grow beyond what it was made with", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {1});
    CHECK(bench.kernel.truncate(bench.cpu(), bench.file, 3) == Errno::kTooBig);
    CHECK(bench.file.i_size(bench.cpu(), Part::kUser) == 2);
    CHECK(bench.kernel.truncate(bench.cpu(), bench.file, 1) == Errno::kNone);
    CHECK(bench.file.i_size(bench.cpu(), Part::kUser) == 1);
}

TEST_CASE("truncate: it waits for a page that is being written", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {1});
    bench.machine.costs().disk_write = nanoseconds(500'000'000);
    Page& page = bench.mapped_page(*bench.mms[0], 0);
    lock_page(bench.cpu(), page);
    REQUIRE(clear_page_dirty_for_io(bench.cpu(), bench.kernel.state(), page));
    ext4_writepage(bench.cpu(), bench.kernel.state(), page);
    bench.trace().clear();
    bench.kernel.truncate(bench.cpu(), bench.file, 0);
    // The other page does not wait for it.
    CHECK(bench.order({Event::kPageFree, Event::kEndPageWriteback}) ==
          "mm_page_free end_page_writeback mm_page_free");
    CHECK(cached_pages(bench) == 0);
}

TEST_CASE("punch hole: a clean file is not written", "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {1});
    bench.kernel.fsync(bench.cpu(), bench.file);
    bench.trace().clear();
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, {0, 0});
    CHECK(bench.trace().count(Event::kFileWritepages) == 0);
    CHECK(cached_pages(bench) == 1);
    // A dirty page anywhere in the file is enough.
    REQUIRE(bench.kernel.touch(bench.cpu(), *bench.mms[0], bench.page(0), Access::kWrite));
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, {1, 1});
    CHECK(bench.trace().count(Event::kFileWritepages) == 1);
}

TEST_CASE("punch hole, truncate: faults on the file wait until its pages are gone",
          "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 2, {1});
    const bool hole = GENERATE(true, false);
    std::vector<bool> free;
    const auto look = [&] {
        free.push_back(bench.file.i_mmap_sem.try_lock_read(bench.cpu(1)));
        if (free.back()) bench.file.i_mmap_sem.unlock_read(bench.cpu(1));
    };
    for (const Event event : {Event::kUnmapPageRange, Event::kPageFree}) {
        bench.trace().at_next(event, 0, look);
        if (hole)
            bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, {0, 0});
        else
            bench.kernel.truncate(bench.cpu(), bench.file, 0);
        look();
        bench.kernel.truncate(bench.cpu(), bench.file, 2);
        bench.kernel.touch(bench.cpu(1), *bench.mms[0], bench.page(0), Access::kWrite);
        bench.drain();
    }
    CHECK(free == std::vector<bool>{false, true, false, true});
}

TEST_CASE("truncate: a pass is repeated until it finds nothing", "[unit][rmap]") {
    const FileKind kind = GENERATE(FileKind::kExt4, FileKind::kShmem);
    FileBench bench(kind, 3, {1});
    // A fault that has seen the old size brings a page back, behind the first and the second pass.
    const auto bring_back = [&] {
        Page& page = alloc_swap_page(bench.cpu(1), bench.kernel.state(), 0);
        REQUIRE(add_to_page_cache_lru(bench.cpu(1), bench.kernel.state(), bench.file, page, 0));
        unlock_page(bench.cpu(1), page);
        put_page(bench.cpu(1), bench.kernel.state(), page);
        lru_add_drain(bench.cpu(1), bench.kernel.state());
    };
    unsigned freed = 0;
    std::function<void()> at_free = [&] {
        ++freed;
        bench.trace().at_next(Event::kPageFree, 0, at_free);
        if (freed == 3 || freed == 4) bring_back();
    };
    bench.trace().at_next(Event::kPageFree, 0, at_free);
    bench.kernel.truncate(bench.cpu(), bench.file, 0);
    CHECK(freed == 5);
    CHECK(cached_pages(bench) == 0);
}

TEST_CASE("truncate: a page that a fault maps meanwhile is unmapped again", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 1, {1});
    bench.trace().clear();
    bench.trace().at_next(Event::kTlbFinishMmuRet, 0, [&] {
        bench.kernel.touch(bench.cpu(1), *bench.mms[0], bench.page(0), Access::kRead);
    });
    bench.kernel.fallocate_punch_hole(bench.cpu(), bench.file, bench.file.all());
    CHECK(bench.trace().count(Event::kTlbGatherMmu) == 2);
    CHECK(bench.pte(*bench.mms[0], 0).none());
    CHECK(cached_pages(bench) == 0);
}

TEST_CASE("MADV_REMOVE: a hole is punched where shared mappings may be written", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 4, {0});
    Mm& mm = *bench.mms[0];
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1, 4));
    const auto remove = [&](std::uint64_t pages, std::uint64_t first) {
        return bench.kernel.madvise(bench.cpu(), mm, bench.range(pages, first), Madvise::kRemove);
    };
    RangeResult result = remove(2, 1);
    CHECK(result.error == Errno::kNone);
    CHECK(result.pages == 2);
    CHECK(cached_pages(bench) == 2);
    CHECK(bench.pte(mm, 0).present());
    CHECK(bench.pte(mm, 1).none());
    result = remove(2, 3);
    CHECK(result.error == Errno::kInvalid);
    CHECK(result.pages == 1);
    CHECK(cached_pages(bench) == 1);  // what comes before is done
    CHECK(remove(1, 9).error == Errno::kNoMemory);
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), VmFlags::kRead);
    CHECK(remove(1, 0).error == Errno::kAccess);
}

TEST_CASE("MADV_REMOVE: it leaves locked mappings alone", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 2, {0});
    Mm& mm = *bench.mms[0];
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(2)) == Errno::kNone);
    CHECK(bench.kernel.madvise(bench.cpu(), mm, bench.range(2), Madvise::kRemove).error ==
          Errno::kInvalid);
    CHECK(cached_pages(bench) == 2);
}
