// SPDX-License-Identifier: Apache-2.0
// Pages that went through MADV_FREE.
#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/reclaim_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::test;

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
