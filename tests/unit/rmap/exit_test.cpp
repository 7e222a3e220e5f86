// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/exit.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

TEST_CASE("exit: the notifiers are released before anything is unmapped", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    bench.watch(mm);
    CHECK(bench.kernel.exit(bench.cpu(), mm) == 1);
    CHECK(bench.order({Event::kExitMmap, Event::kMnRelease, Event::kMnReleaseRet,
                       Event::kTlbGatherMmu, Event::kMnStart, Event::kClientStart, Event::kPteClear,
                       Event::kMnEnd, Event::kFreePgtables, Event::kFlushTlbMmRange,
                       Event::kPageFree, Event::kExitMmapRet}) ==
          "exit_mmap mn_release mn_release_ret tlb_gather_mmu mn_range_start pte_clear "
          "mn_range_end free_pgtables flush_tlb_mm_range mm_page_free mm_page_free mm_page_free "
          "mm_page_free exit_mmap_ret");
    const auto section = bench.trace().first(Event::kMnStart);
    CHECK(bench.trace().argument(section, "end") == kAllAddresses.end.value);
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "end") == kAllAddresses.end.value);
    CHECK(bench.trace().argument(flushed, "freed_tables") == 1);
    CHECK(bench.cpu().current->mm == nullptr);
}

TEST_CASE("exit: all memory comes back but the top of the tables", "[unit][rmap]") {
    KernelBench bench;
    auto& pages = bench.kernel.state().pages;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    auto& file = bench.kernel.create_file("file", 4);
    bench.run(0, mm);
    const auto before = pages.nr_free_pages(0) + pages.nr_free_pages(1);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(600));
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(4, 700), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(600));
    bench.kernel.populate(bench.cpu(), mm, bench.range(4, 700));
    ReclaimControl control;
    control.nr_to_scan = 50;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    REQUIRE(bench.kernel.state().swap.used() > 0);
    CHECK(bench.kernel.exit(bench.cpu(), mm) == 600);  // reclaim has unmapped the file
    CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == before - 4);  // the page cache
    CHECK(bench.kernel.state().swap.used() == 0);
    CHECK(file.i_mmap.empty());
    const MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.vm_rss == 0);
    CHECK(status.vm_swap == 0);
    CHECK(status.vm_size == 0);
    CHECK(status.vm_pte == 0);
    CHECK(bench.machine.memory()[mm.mmlist].value == 0);
}

TEST_CASE("exit: a task that is not of the mm keeps its own", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Mm& own = bench.anon_mm(1, {0});
    bench.kernel.exit(bench.cpu(), mm);
    CHECK(bench.cpu().current->mm == &own);
    CHECK(bench.pte(own, 0).present());
}

TEST_CASE("exit: the CPU leaves the page tables when they are flushed", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0, 1});
    bench.kernel.exit(bench.cpu(), mm);
    CHECK(bench.flush.cpu_tlbstate(0).loaded_mm.id == kInitMm);
}

TEST_CASE("exit: a child lives on with what it shares", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(2, {0});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.exit(bench.cpu(), parent);
    CHECK(bench.pte(child, 1).present());
    CHECK(bench.mapped_page(child, 1).mapcount(bench.cpu()) == 1);
    CHECK(bench.kernel.touch(bench.cpu(1), child, bench.page(1), Access::kWrite));
    CHECK(bench.kernel.exit(bench.cpu(1), child) == 2);
}
