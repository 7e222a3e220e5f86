// SPDX-License-Identifier: Apache-2.0
// Which pages reclaim takes, and which it keeps.
#include <algorithm>
#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/reclaim_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::test;

namespace {

constexpr Populate kColdActive{Access::kWrite, AccessedBits::kCleared, DirtyBits::kAsFaulted,
                               LruPlacement::kActive};

}  // namespace

TEST_CASE("reclaim: a dirty page of a file is unmapped and then activated", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1), KernelBench::kColdDirty);
    bench.run(1, mm);
    Page& page = bench.mapped_page(mm, 0);
    bench.trace().clear();
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    const ReclaimResult result = bench.kernel.reclaim_pages(bench.cpu(), control);

    CHECK(result.reclaimed == 0);
    CHECK(bench.order({Event::kTryToUnmapRet, Event::kFileWritepage, Event::kArchTlbbatchFlush,
                       Event::kTryToUnmapFlush, Event::kTryToUnmapFlushDirty}) ==
          "try_to_unmap_ret try_to_unmap_flush arch_tlbbatch_flush");
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.test(bench.cpu(), PageFlag::kReclaim));
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK(page.refcount(bench.cpu()) == 1);  // the page cache's
    const auto shrunk = bench.trace().first(Event::kShrinkInactive);
    CHECK(bench.trace().argument(shrunk, "nr_activate") == 1);
}

TEST_CASE("reclaim: active pages are aged first", "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(2, {1}, kColdActive);
    const ReclaimResult result = bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(result.reclaimed == 2);
    CHECK(bench.order({Event::kPageReferenced, Event::kFreeUnrefPageList, Event::kShrinkActive,
                       Event::kShrinkPageList, Event::kShrinkInactive}) ==
          "page_referenced page_referenced free_unref_page_list mm_vmscan_lru_shrink_active "
          "shrink_page_list page_referenced page_referenced free_unref_page_list "
          "free_unref_page_list mm_vmscan_lru_shrink_inactive");
    CHECK(bench.values(Event::kPageReferenced, "locked") == std::vector<std::uint64_t>{0, 0, 1, 1});
}

TEST_CASE("reclaim: the events of the lists tell their kind and how far they are scanned",
          "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(1, {1}, kColdActive);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "reader");
    AddressSpace& file = bench.kernel.create_file("file", 1);
    const VirtRange range{{0x600000000000}, {0x600000001000}};
    bench.kernel.mmap_file(bench.cpu(), mm, range, file);
    bench.kernel.populate(bench.cpu(), mm, range, KernelBench::kColdRead);
    bench.trace().clear();
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(bench.values(Event::kShrinkActive, "flags") == std::vector<std::uint64_t>{0x9});
    // RECLAIM_WB_ANON and RECLAIM_WB_FILE, both RECLAIM_WB_ASYNC.
    const auto flags = bench.values(Event::kShrinkInactive, "flags");
    CHECK(std::count(flags.begin(), flags.end(), 0x9) == 1);
    CHECK(std::count(flags.begin(), flags.end(), 0xa) == 1);
    CHECK(bench.values(Event::kShrinkActive, "priority") == std::vector<std::uint64_t>{12});
}

TEST_CASE("reclaim: a page that is freed while it is aged is not deactivated", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {1}, kColdActive);
    const auto before = bench.kernel.state().pages.nr_free_pages(0);
    Page& page = bench.mapped_page(mm, 0);
    bench.trace().at_next(Event::kPageReferenced, 0,
                          [&] { bench.kernel.munmap(bench.cpu(1), mm, bench.range(1)); });
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(bench.values(Event::kShrinkActive, "nr_taken") == std::vector<std::uint64_t>{3});
    CHECK(bench.values(Event::kShrinkActive, "nr_deactivated") == std::vector<std::uint64_t>{2});
    CHECK(page.refcount(bench.cpu()) == 0);
    CHECK(bench.kernel.state().pages.nr_free_pages(0) == before + 3);
}

TEST_CASE("reclaim: a page that is mlocked while it is isolated goes to the unevictable list",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {1});
    Page& page = bench.mapped_page(mm, 1);
    bench.trace().at_next(Event::kShrinkPageList, 0, [&] {
        bench.kernel.mlock(bench.cpu(1), mm, bench.range(1, 1), MlockFlags::kNone);
    });
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), on_node(0)).reclaimed == 2);
    bench.drain();
    CHECK(bench.kernel.state().lru.size(0, 0, LruList::kUnevictable) == 1);
    CHECK(page.test(bench.cpu(), PageFlag::kUnevictable));
    CHECK(page.refcount(bench.cpu()) == 1);
    CHECK_FALSE(bench.kernel.state().lru.lru_lock(0).held_by(bench.cpu()));
}

TEST_CASE("reclaim: without aging active pages stay", "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(2, {1}, kColdActive);
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).scanned == 0);
    CHECK(bench.trace().count(Event::kPageReferenced) == 0);
}

TEST_CASE("reclaim: a page that is touched between the two looks is activated", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    bench.trace().at_next(Event::kAddToSwap, 0, [&] {
        bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead);
    });
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.values(Event::kTryToUnmapRet, "ret") == std::vector<std::uint64_t>{0});
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.test(bench.cpu(), PageFlag::kLru));
    const ReclaimStats& stats = bench.kernel.reclaim_stats(0);
    CHECK(stats.unmap_failed == 1);
    CHECK(stats.activated == 1);
    CHECK(stats.scanned == 1);
}

TEST_CASE("reclaim: a page that is faulted back while it is written is kept", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    const Generation before = page.generation;
    bench.trace().at_next(Event::kSwapWritepageRet, 0, [&] {
        bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead);
    });
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.values(Event::kRemoveMappingRet, "ret") == std::vector<std::uint64_t>{0});
    CHECK(bench.trace().count(Event::kPageFree) == 0);
    // The refault maps the generation that began with the write.
    CHECK(page.generation == before + 1);
    CHECK(bench.kernel.read_pte(bench.cpu(), mm, bench.page(0))->generation == before + 1);
    CHECK(bench.pte(mm, 0).frame() == page.pfn());
}

TEST_CASE("reclaim: a page that somebody locked while it was written is kept", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    bench.trace().at_next(Event::kVmscanWritepage, 0, [&] { lock_page(bench.cpu(1), page); });
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    control.nr_to_scan = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.trace().count(Event::kRemoveMapping) == 0);
    CHECK(page.test(bench.cpu(), PageFlag::kLru));
    CHECK(page.lock.held_by(bench.cpu(1)));
}

TEST_CASE("reclaim: a page that somebody else holds is not written", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    get_page(bench.cpu(), bench.mapped_page(mm, 0));
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    control.nr_to_scan = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    // Its mappings are gone and flushed all the same.
    CHECK(bench.order({Event::kArchTlbbatchFlush, Event::kSwapWritepage, Event::kRemoveMapping}) ==
          "arch_tlbbatch_flush");
    CHECK(bench.pte(mm, 0).swap_type());
}

TEST_CASE("reclaim: a page of a file that one process used stays once", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = file_mm(bench, 1);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    Page& page = bench.mapped_page(mm, 0);
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    control.nr_to_scan = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.test(bench.cpu(), PageFlag::kReferenced));
    // Used again before the next look: it is part of the working set.
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
}

TEST_CASE("reclaim: a page of a file that two processes used is activated at once",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = file_mm(bench, 1);
    Mm& other = bench.kernel.fork(bench.cpu(), mm, "other");
    for (Mm* user : {&mm, &other})
        REQUIRE(bench.kernel.touch(bench.cpu(), *user, bench.page(0), Access::kRead));
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.mapped_page(mm, 0).test(bench.cpu(), PageFlag::kActive));
}

TEST_CASE("reclaim: executable pages of files stay active while they are used", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("program", 2);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    MmapRequest text;
    text.range = bench.range(2);
    text.vm_flags = VmFlags::kRead | VmFlags::kExec | VmFlags::kShared;
    text.file = &file;
    mmap_region(bench.cpu(), bench.kernel.state(), mm, text);
    Populate how = KernelBench::kColdRead;
    how.lru = LruPlacement::kActive;
    bench.kernel.populate(bench.cpu(), mm, bench.range(2), how);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    bench.trace().clear();
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    const auto aged = bench.trace().first(Event::kShrinkActive);
    CHECK(bench.trace().argument(aged, "nr_active") == 1);
    CHECK(bench.trace().argument(aged, "nr_deactivated") == 1);
    CHECK(bench.trace().argument(aged, "nr_referenced") == 1);
}

TEST_CASE("reclaim: full swap keeps anonymous pages", "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_slots = 1;
    KernelBench bench(config);
    Mm& mm = bench.anon_mm(3, {1});
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 1);
    CHECK(bench.values(Event::kAddToSwapRet, "ret") == std::vector<std::uint64_t>{1, 0, 0});
    CHECK(bench.trace().count(Event::kTryToUnmap) == 1);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 2);
}

TEST_CASE("reclaim: a memory control group gives its own pages only", "[unit][rmap]") {
    KernelBench::Config config;
    config.memcgs = 2;
    KernelBench bench(config);
    Mm& outside = bench.anon_mm(2, {});
    Mm& inside = bench.kernel.create_mm(bench.cpu(), "inside", 1);
    bench.kernel.mmap_anon(bench.cpu(), inside, bench.range(2));
    bench.kernel.populate(bench.cpu(), inside, bench.range(2), KernelBench::kColdDirty);
    ReclaimControl control = on_node(0);
    control.memcg = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 2);
    CHECK(bench.kernel.status(bench.cpu(), outside).rss_anon == 2);
    CHECK(bench.kernel.status(bench.cpu(), inside).rss_anon == 0);
    CHECK(bench.kernel.status(bench.cpu(), inside).vm_swap == 2);
}

TEST_CASE("reclaim: accesses by processes outside the group are not asked for", "[unit][rmap]") {
    KernelBench::Config config;
    config.memcgs = 2;
    KernelBench bench(config);
    auto& file = bench.kernel.create_file("file", 1);
    Mm& inside = bench.kernel.create_mm(bench.cpu(), "inside", 1);
    Mm& outside = bench.kernel.create_mm(bench.cpu(), "outside", 0);
    for (Mm* mm : {&inside, &outside}) {
        bench.kernel.mmap_file(bench.cpu(), *mm, bench.range(1), file);
        bench.kernel.populate(bench.cpu(), *mm, bench.range(1), KernelBench::kColdRead);
    }
    REQUIRE(bench.kernel.touch(bench.cpu(), outside, bench.page(0), Access::kRead));
    bench.trace().clear();
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    control.memcg = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.values(Event::kPageReferencedOne, "mm") ==
          std::vector<std::uint64_t>{inside.context.id});
    CHECK(bench.values(Event::kPageReferencedRet, "ret") == std::vector<std::uint64_t>{0});
    // try_to_unmap() knows no groups and finds the page young.
    CHECK(bench.pte(inside, 0).none());
    CHECK(bench.pte(outside, 0).present());
}
