// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/pagevec.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

/// An mm with room for more pages than a pagevec holds, none of them touched yet.
struct Faults {
    Faults() { bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2 * kPagevecSize)); }

    Page& touch(std::uint64_t index, CpuId cpu = 0) {
        REQUIRE(bench.kernel.touch(bench.cpu(cpu), mm, bench.page(index), Access::kWrite));
        return bench.mapped_page(mm, index);
    }
    bool on_list(const Page& page) { return page.test(bench.cpu(), PageFlag::kLru); }
    std::uint64_t references(const Page& page) { return page.refcount(bench.cpu()); }

    KernelBench bench;
    KernelState& kernel = bench.kernel.state();
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
};

}  // namespace

TEST_CASE("pagevec: a new page is on no list and held until its CPU's pagevec is full",
          "[unit][rmap]") {
    Faults on;
    Page& first = on.touch(0);
    for (std::uint64_t i = 1; i + 1 < kPagevecSize; ++i) on.touch(i);
    CHECK_FALSE(on.on_list(first));
    CHECK(on.references(first) == 2);
    Page& last = on.touch(kPagevecSize - 1);
    for (const Page* page : {&first, &last}) {
        CHECK(on.on_list(*page));
        CHECK(on.references(*page) == 1);
    }
    // They came to the list in the order of the faults.
    const PageList& list = on.kernel.lru.lruvec(0, 0).list(LruList::kActiveAnon);
    CHECK(list.size() == kPagevecSize);
    CHECK(&list.tail() == &first);
    CHECK(&list.head() == &last);
}

TEST_CASE("pagevec: a CPU drains its own, and lru_add_drain_all() those of all", "[unit][rmap]") {
    Faults on;
    Page& page = on.touch(0, 1);
    lru_add_drain(on.bench.cpu(), on.kernel);
    CHECK_FALSE(on.on_list(page));
    SECTION("its own") { lru_add_drain(on.bench.cpu(1), on.kernel); }
    SECTION("of all") {
        const Instant before = on.bench.cpu().now();
        lru_add_drain_all(on.bench.cpu(), on.kernel);
        CHECK(on.bench.cpu().now() - before > on.bench.cpu().costs().work_on_cpu);
    }
    CHECK(on.on_list(page));
    CHECK(on.references(page) == 1);
}

TEST_CASE("pagevec: no worker is needed on CPUs whose pagevecs are empty", "[unit][rmap]") {
    Faults on;
    on.touch(0);
    on.bench.machine.costs().work_on_cpu = nanoseconds(1'000'000);
    const Instant before = on.bench.cpu().now();
    lru_add_drain_all(on.bench.cpu(), on.kernel);
    CHECK(on.bench.cpu().now() - before < nanoseconds(1'000'000));
}

TEST_CASE("pagevec: a frame that another CPU's pagevec holds is freed when that is drained",
          "[unit][rmap]") {
    Faults on;
    Page& ours = on.touch(0);
    Page& theirs = on.touch(1, 1);
    on.bench.kernel.munmap(on.bench.cpu(), on.mm, on.bench.range(2));
    CHECK(on.references(ours) == 0);
    CHECK(on.references(theirs) == 1);
    on.bench.trace().clear();
    lru_add_drain(on.bench.cpu(1), on.kernel);
    CHECK(on.references(theirs) == 0);
    CHECK(on.bench.values(Event::kPageFree, "pfn") ==
          std::vector<std::uint64_t>{theirs.pfn().value});
}

TEST_CASE("pagevec: reclaim unmaps a page that another CPU is about to activate, but keeps it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.mapped_page(mm, 0);
    activate_page(bench.cpu(1), bench.kernel.state(), page);
    CHECK(page.refcount(bench.cpu()) == 2);
    ReclaimControl control;
    control.nr_to_scan = 1;
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), control).reclaimed == 0);
    CHECK(bench.order({Event::kTryToUnmapRet, Event::kTryToUnmapFlushDirty, Event::kSwapWritepage,
                       Event::kRemoveMapping, Event::kTryToUnmapFlush}) ==
          "try_to_unmap_ret try_to_unmap_flush_dirty try_to_unmap_flush");
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
    lru_add_drain(bench.cpu(1), bench.kernel.state());
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.refcount(bench.cpu()) == 1);  // of the swap cache
}

TEST_CASE("pagevec: the second reference activates a page on its way, if this CPU has it",
          "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    Page& page = bench.mapped_page(mm, 0);
    const CpuId cpu = GENERATE(0u, 1u);
    for (int i = 0; i < 2; ++i) mark_page_accessed(bench.cpu(cpu), bench.kernel.state(), page);
    CHECK(page.test(bench.cpu(), PageFlag::kActive) == (cpu == 0));
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kReferenced));
    bench.drain();
    const LruList list = cpu == 0 ? LruList::kActiveFile : LruList::kInactiveFile;
    CHECK(bench.kernel.state().lru.size(0, 0, list) == 1);
}

TEST_CASE("pagevec: move_pages() drains all of them before it isolates", "[unit][rmap]") {
    Faults on;
    Page& page = on.touch(0, 1);
    REQUIRE(page.nid() == 1);
    const MoveResult moved =
        on.bench.kernel.move_pages(on.bench.cpu(), on.mm, {on.bench.page(0)}, 0);
    CHECK(moved.succeeded == 1);
    // The new page is on its way now.
    const Page& new_page = on.bench.mapped_page(on.mm, 0);
    CHECK_FALSE(on.on_list(new_page));
    CHECK(on.references(new_page) == 2);
}

TEST_CASE("pagevec: pagevec_release() drains those of the CPU once", "[unit][rmap]") {
    Faults on;
    Pagevec pvec;
    Page& first = on.touch(0);
    get_page(on.bench.cpu(), first);
    pvec.pages = {&first};
    pagevec_release(on.bench.cpu(), on.kernel, pvec);
    CHECK(on.on_list(first));
    CHECK(on.references(first) == 1);
    Page& second = on.touch(1);
    get_page(on.bench.cpu(), second);
    pvec.pages = {&second};
    pagevec_release(on.bench.cpu(), on.kernel, pvec);
    CHECK_FALSE(on.on_list(second));
    CHECK(on.references(second) == 2);
}
