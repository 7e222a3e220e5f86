// SPDX-License-Identifier: Apache-2.0
// In which order the steps of a list come, and what they cost.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/rmap/reclaim_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::test;

namespace {

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
