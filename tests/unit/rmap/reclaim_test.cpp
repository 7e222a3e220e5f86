// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/reclaim.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

constexpr Populate kColdActive{Access::kWrite, AccessedBits::kCleared, DirtyBits::kAsFaulted,
                               LruPlacement::kActive};

ReclaimControl on_node(NodeId nid) {
    ReclaimControl control;
    control.nid = nid;
    return control;
}

/// Two processes with cold pages of their own, each running on its CPU.
struct TwoMms {
    TwoMms(KernelBench& bench, std::uint64_t pages, const Populate& how)
        : first(bench.anon_mm(pages, {1}, how)), second(bench.anon_mm(pages, {2}, how)) {}

    Mm& first;
    Mm& second;
};

KernelBench::Config three_cpus(InjectedFault fault = InjectedFault::kNone) {
    KernelBench::Config config;
    config.cpus = 3;
    config.fault = fault;
    return config;
}

/// Shared file pages of one process that ran on CPU 1.
Mm& file_mm(KernelBench& bench, std::uint64_t pages) {
    auto& file = bench.kernel.create_file("file", pages);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(pages), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(pages), KernelBench::kColdRead);
    bench.run(1, mm);
    bench.trace().clear();
    return mm;
}

constexpr auto kListOrder = {Event::kTryToUnmap,        Event::kTryToUnmapFlushDirty,
                             Event::kArchTlbbatchFlush, Event::kSwapWritepage,
                             Event::kRemoveMapping,     Event::kTryToUnmapFlush,
                             Event::kFreeUnrefPageList, Event::kPageFree,
                             Event::kPageFreeBatched,   Event::kShrinkPageListRet};

}  // namespace

TEST_CASE("reclaim: one dirty anonymous page goes through all steps in order", "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(1, {1});
    const ReclaimResult result = bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(result.reclaimed == 1);
    CHECK(bench.order(kListOrder) ==
          "try_to_unmap try_to_unmap_flush_dirty arch_tlbbatch_flush swap_writepage "
          "__remove_mapping try_to_unmap_flush free_unref_page_list mm_page_free "
          "mm_page_free_batched shrink_page_list_ret free_unref_page_list");
    CHECK(bench.values(Event::kTryToUnmapFlush, "flush_required") == std::vector<std::uint64_t>{0});
}

TEST_CASE("reclaim: every dirty page costs a flush of its own", "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(5, {1});
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(bench.trace().count(Event::kTryToUnmapFlushDirty) == 5);
    CHECK(bench.trace().count(Event::kArchTlbbatchFlush) == 5);
    // Each before the write that it is for, and none between flush and write.
    CHECK(bench.order({Event::kPteClearDefer, Event::kArchTlbbatchFlush, Event::kSwapWritepage})
              .find("arch_tlbbatch_flush pte_clear_defer") == std::string::npos);
}

TEST_CASE("reclaim: clean entries are flushed once at the end of the list", "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(3, {1}, KernelBench::kColdCleaned);
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    // The pages are written, because a clean entry proves nothing about the page; but no CPU can
    // write through a clean one, so nobody waits.
    CHECK(bench.order({Event::kUbcWritable, Event::kSwapWritepage, Event::kArchTlbbatchFlush,
                       Event::kPageFree}) ==
          "swap_writepage swap_writepage swap_writepage arch_tlbbatch_flush mm_page_free "
          "mm_page_free mm_page_free");
}

TEST_CASE("reclaim: a clean entry behind a dirty one waits for the end of the list",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    bench.kernel.arrange(bench.cpu(), mm, bench.range(1, 1), KernelBench::kColdCleaned);
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    // The first flush also serves what was noted before it; nothing dirty is noted after it.
    CHECK(bench.order({Event::kPteClearDefer, Event::kUbcWritable, Event::kArchTlbbatchFlush,
                       Event::kSwapWritepage}) ==
          "pte_clear_defer ubc_writable arch_tlbbatch_flush swap_writepage pte_clear_defer "
          "swap_writepage arch_tlbbatch_flush");
}

TEST_CASE("reclaim: two address spaces share one round at the end of the list", "[unit][rmap]") {
    KernelBench bench(three_cpus());
    TwoMms mms(bench, 2, KernelBench::kColdCleaned);
    const std::uint64_t first_gen = bench.tlb_gen(mms.first);
    const std::uint64_t second_gen = bench.tlb_gen(mms.second);
    bench.machine.interrupts(0).sent.clear();
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(bench.values(Event::kArchTlbbatchFlush, "cpumask") == std::vector<std::uint64_t>{0b110});
    CHECK(bench.machine.interrupts(0).sent.size() == 1);
    CHECK(bench.tlb_gen(mms.first) == first_gen + 2);
    CHECK(bench.tlb_gen(mms.second) == second_gen + 2);
    CHECK(bench.flush.cpu_tlbstate(1).ctxs[bench.flush.cpu_tlbstate(1).loaded_mm_asid].tlb_gen ==
          bench.tlb_gen(mms.first));
}

TEST_CASE("reclaim: frames return after the flush and in reverse order", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {1}, KernelBench::kColdCleaned);
    std::vector<std::uint64_t> frames;
    for (unsigned i = 0; i < 3; ++i) frames.push_back(bench.mapped_page(mm, i).pfn().value);
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));

    CHECK(bench.values(Event::kTryToUnmap, "pfn") == frames);
    std::reverse(frames.begin(), frames.end());
    CHECK(bench.values(Event::kPageFree, "pfn") == frames);
    CHECK(bench.values(Event::kPageFreeBatched, "pfn") == frames);
    CHECK(bench.order({Event::kArchTlbbatchFlushRet, Event::kPageFree})
              .rfind("arch_tlbbatch_flush_ret", 0) == 0);
    // The frame freed last is used first.
    Page& next = bench.kernel.state().pages.alloc_page(bench.cpu(), 0);
    CHECK(next.pfn().value == frames.back());
}

TEST_CASE("reclaim: clean file pages of a list wait for one flush", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = file_mm(bench, 4);
    const ReclaimResult result = bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(result.reclaimed == 4);
    CHECK(bench.order({Event::kRemoveMapping, Event::kArchTlbbatchFlush, Event::kPageFree}) ==
          "__remove_mapping __remove_mapping __remove_mapping __remove_mapping "
          "arch_tlbbatch_flush mm_page_free mm_page_free mm_page_free mm_page_free");
    CHECK(bench.trace().count(Event::kTryToUnmapFlushDirty) == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_file == 0);
}

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

TEST_CASE("reclaim: a page is sealed before it is written and ends a generation when freed",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    const Generation generation = bench.mapped_page(mm, 0).generation;
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    CHECK(bench.order({Event::kPteClearDefer, Event::kArchTlbbatchFlushRet, Event::kPageSealed,
                       Event::kSwapWritepageRet, Event::kPageFree}) ==
          "pte_clear_defer arch_tlbbatch_flush_ret page_sealed swap_writepage_ret mm_page_free");
    CHECK(bench.values(Event::kPteClearDefer, "generation") ==
          std::vector<std::uint64_t>{generation});
    CHECK(bench.values(Event::kPageSealed, "generation") == std::vector<std::uint64_t>{generation});
    CHECK(bench.values(Event::kPageFree, "generation") ==
          std::vector<std::uint64_t>{generation + 1});
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

TEST_CASE("reclaim: lists have the configured length and the call stops when it has enough",
          "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_cluster_max = 4;
    KernelBench bench(config);
    bench.anon_mm(20, {1});
    ReclaimControl control = on_node(0);
    control.nr_to_reclaim = 10;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 12);
    CHECK(bench.values(Event::kShrinkPageList, "pages") == std::vector<std::uint64_t>{4, 4, 4});
    bench.trace().clear();
    control = on_node(0);
    control.nr_to_scan = 6;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).scanned == 6);
    CHECK(bench.values(Event::kShrinkPageList, "pages") == std::vector<std::uint64_t>{4, 2});
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

TEST_CASE("reclaim: skip-batch-flush forgets every batch and changes nothing else",
          "[unit][rmap]") {
    KernelBench healthy(three_cpus());
    KernelBench broken(three_cpus(InjectedFault::kSkipBatchFlush));
    for (KernelBench* bench : {&healthy, &broken}) {
        TwoMms mms(*bench, 2, KernelBench::kColdDirty);
        bench->kernel.reclaim_pages(bench->cpu(), on_node(0));
    }
    CHECK(healthy.trace().count(Event::kArchTlbbatchFlush) == 4);
    CHECK(broken.trace().count(Event::kArchTlbbatchFlush) == 0);
    CHECK(broken.machine.interrupts(0).sent.empty());
    CHECK_FALSE(broken.cpu().current->tlb_ubc.flush_required);
    CHECK(broken.cpu().current->tlb_ubc.cpumask.empty());
    const auto rest = {Event::kPteClearDefer, Event::kSwapWritepage, Event::kRemoveMapping,
                       Event::kTryToUnmapFlush, Event::kPageFree};
    CHECK(broken.order(rest) == healthy.order(rest));
}

TEST_CASE("reclaim: free-before-flush swaps the end of the list and nothing else", "[unit][rmap]") {
    KernelBench healthy(three_cpus());
    KernelBench broken(three_cpus(InjectedFault::kFreeBeforeFlush));
    for (KernelBench* bench : {&healthy, &broken}) {
        TwoMms mms(*bench, 1, KernelBench::kColdCleaned);
        bench->kernel.reclaim_pages(bench->cpu(), on_node(0));
    }
    const auto end = {Event::kArchTlbbatchFlush, Event::kPageFree};
    CHECK(healthy.order(end) == "arch_tlbbatch_flush mm_page_free mm_page_free");
    CHECK(broken.order(end) == "mm_page_free mm_page_free arch_tlbbatch_flush");
    const auto rest = {Event::kPteClearDefer, Event::kSwapWritepage, Event::kRemoveMapping,
                       Event::kArchTlbbatchFlush, Event::kShrinkPageListRet};
    CHECK(broken.order(rest) == healthy.order(rest));

    // A dirty page is still flushed before it is written.
    KernelBench dirty(three_cpus(InjectedFault::kFreeBeforeFlush));
    dirty.anon_mm(1, {1});
    dirty.kernel.reclaim_pages(dirty.cpu(), on_node(0));
    CHECK(dirty.order({Event::kArchTlbbatchFlush, Event::kSwapWritepage, Event::kPageFree}) ==
          "arch_tlbbatch_flush swap_writepage mm_page_free");
}

TEST_CASE("reclaim: operations nest and their parts add up", "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(3, {1}, KernelBench::kColdCleaned);
    bench.kernel.reclaim_pages(bench.cpu(), on_node(0));
    std::vector<OperationKind> kinds;
    Instant freed;
    unsigned waited_for_others = 0;
    for (const auto& result : bench.machine.account(0).finished()) {
        if (result.kind == OperationKind::kMmap || result.kind == OperationKind::kPageFault)
            continue;
        kinds.push_back(result.kind);
        CHECK(result.outcome == Outcome::kDone);
        CHECK(result.parts.sum() == result.end - result.begin);
        if (result.kind == OperationKind::kUnmap) {
            freed = result.end;
            // Each page waits for the flush of the list; all but the last also for the others.
            CHECK(result.parts[Part::kIpiDelivery].ps > 0);
            waited_for_others += result.parts[Part::kBatchWait].ps > 0;
        }
    }
    CHECK(kinds == std::vector<OperationKind>{OperationKind::kUnmap, OperationKind::kUnmap,
                                              OperationKind::kUnmap, OperationKind::kShrinkPageList,
                                              OperationKind::kReclaim});
    CHECK(waited_for_others == 2);
    CHECK(freed >= bench.trace().find(Event::kPageFree).back().time);
}

TEST_CASE("reclaim: the operation of a page that stays is abandoned", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    bench.trace().at_next(Event::kAddToSwap, 0, [&] {
        bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead);
    });
    ReclaimControl control = on_node(0);
    control.aging = Aging::kForbidden;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    const auto& finished = bench.machine.account(0).finished();
    const auto unmap = std::find_if(finished.begin(), finished.end(), [](const auto& result) {
        return result.kind == OperationKind::kUnmap;
    });
    REQUIRE(unmap != finished.end());
    CHECK(unmap->outcome == Outcome::kAbandoned);
    CHECK(bench.mapped_page(mm, 0).unmap_operation == 0);
}

namespace {

/// An mm on CPU 1 whose page has gone through MADV_FREE.
Mm& lazyfree_mm(KernelBench& bench) {
    Mm& mm = bench.anon_mm(1, {1}, KernelBench::kColdCleaned);
    mark_page_lazyfree(bench.cpu(), bench.kernel.state(), bench.mapped_page(mm, 0));
    bench.drain();
    bench.trace().clear();
    return mm;
}

constexpr auto kLazyfreeOrder = {
    Event::kAddToSwap,        Event::kTryToUnmap,         Event::kPteClearDefer,
    Event::kSetPageDirty,     Event::kPteRestoreLazyfree, Event::kPageRemoveRmap,
    Event::kTryToUnmapOneRet, Event::kTryToUnmapRet,      Event::kTryToUnmapFlushDirty,
    Event::kRemoveMapping,    Event::kTryToUnmapFlush,    Event::kArchTlbbatchFlush,
    Event::kPageFree,         Event::kShrinkPageListRet};

}  // namespace

TEST_CASE("reclaim: a clean lazyfree page is dropped without swap", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = lazyfree_mm(bench);
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), on_node(0)).reclaimed == 1);
    // p_noswap_reclaim_lazyfree_n4
    CHECK(bench.order(kLazyfreeOrder) ==
          "try_to_unmap pte_clear_defer page_remove_rmap try_to_unmap_one_ret try_to_unmap_ret "
          "try_to_unmap_flush arch_tlbbatch_flush mm_page_free shrink_page_list_ret");
    CHECK(bench.pte(mm, 0).none());
    CHECK(bench.kernel.state().swap.used() == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
}

TEST_CASE("reclaim: a lazyfree page that was written again stays and is flushed all the same",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = lazyfree_mm(bench);
    REQUIRE(bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kWrite));
    Populate cold;
    cold.accessed = AccessedBits::kCleared;
    bench.kernel.arrange(bench.cpu(), mm, bench.range(1), cold);
    // Only dirty pages of files are counted.
    bench.mapped_page(mm, 0).set(bench.cpu(), PageFlag::kDirty);
    ReclaimControl control = on_node(0);
    control.nr_to_scan = 1;
    bench.trace().clear();
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    // f_reclaim_lazyfree_redirty_n64
    CHECK(bench.order(kLazyfreeOrder) ==
          "try_to_unmap pte_clear_defer set_page_dirty pte_restore_lazyfree try_to_unmap_one_ret "
          "try_to_unmap_ret try_to_unmap_flush arch_tlbbatch_flush shrink_page_list_ret");
    CHECK(bench.values(Event::kShrinkInactive, "nr_unmap_fail") == std::vector<std::uint64_t>{1});
    CHECK(bench.values(Event::kShrinkInactive, "nr_dirty") == std::vector<std::uint64_t>{0});
    Lru& lru = bench.kernel.state().lru;
    CHECK(lru.size(0, 0, LruList::kActiveAnon) == 1);
    CHECK(bench.pte(mm, 0).present());
}

TEST_CASE("reclaim: a lazyfree page that somebody else holds is kept", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = lazyfree_mm(bench);
    Page& page = bench.mapped_page(mm, 0);
    bench.trace().at_next(Event::kTryToUnmapRet, 0, [&] { get_page(bench.cpu(1), page); });
    ReclaimControl control = on_node(0);
    control.nr_to_scan = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.trace().count(Event::kPageFree) == 0);
    CHECK(page.refcount(bench.cpu()) == 1);
    CHECK(bench.kernel.state().lru.size(0, 0, LruList::kInactiveFile) == 1);
}
