// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fork_ptes.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

TEST_CASE("fork: writable private pages become shared and protected in both", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(2, {}, {});
    bench.watch(parent);
    bench.run(1, parent);
    bench.trace().clear();
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    const Pte of_parent = bench.pte(parent, 0);
    const Pte of_child = bench.pte(child, 0);
    CHECK(of_parent.frame() == of_child.frame());
    CHECK_FALSE(of_parent.writable());
    CHECK_FALSE(of_child.writable());
    CHECK(of_parent.young());
    CHECK_FALSE(of_child.young());
    Page& page = bench.mapped_page(parent, 0);
    CHECK(page.mapcount(bench.cpu()) == 2);
    CHECK(page.refcount(bench.cpu()) == 2);
    CHECK(bench.kernel.read_pte(bench.cpu(), child, bench.page(0))->generation == page.generation);

    // The parent's TLBs are flushed once, after its section.
    CHECK(bench.order({Event::kMnStart, Event::kMnEnd, Event::kFlushTlbMmRange}) ==
          "mn_range_start mn_range_end flush_tlb_mm_range");
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(flushed.arguments[0] == parent.context.id);
    CHECK(flushed.arguments[2] == kAllAddresses.end.value);

    const MmStatus status = bench.kernel.status(bench.cpu(), child);
    CHECK(status.rss_anon == 2);
    CHECK(status.vm_size == 2);
    CHECK(bench.machine.memory()[child.hiwater_rss].value == 2);
}

TEST_CASE("fork: swapped pages get one more count", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    bench.kernel.reclaim_pages(bench.cpu(), {});
    const Pte swapped = bench.pte(parent, 0);
    REQUIRE(swapped.swap_type());
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    CHECK(bench.pte(child, 0) == swapped);
    CHECK(bench.kernel.state().swap.swap_count(bench.cpu(), {0, swapped.offset()}) == 2);
    CHECK(bench.kernel.status(bench.cpu(), child).vm_swap == 1);
}

TEST_CASE("fork: it gets memory for the counts of swap entries without the locks and goes on",
          "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_max_map_count = 1;
    KernelBench bench(config);
    Mm& parent = bench.anon_mm(3, {1});
    bench.kernel.reclaim_pages(bench.cpu(), {});
    REQUIRE(bench.kernel.touch(bench.cpu(), parent, bench.page(0), Access::kRead));
    bench.trace().clear();
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    CHECK(bench.order({Event::kPtlLock, Event::kPteSet, Event::kSwapDuplicate, Event::kMmCounter,
                       Event::kPtlUnlock}) ==
          "ptl_lock ptl_lock pte_set swap_duplicate ptl_unlock mm_counter ptl_unlock "
          "ptl_lock ptl_lock swap_duplicate swap_duplicate ptl_unlock mm_counter ptl_unlock "
          "ptl_lock ptl_lock swap_duplicate ptl_unlock mm_counter ptl_unlock");
    for (Mm* mm : {&parent, &child}) {
        CHECK(bench.kernel.status(bench.cpu(), *mm).vm_swap == 2);
        CHECK(bench.kernel.status(bench.cpu(), *mm).rss_anon == 1);
    }
    CHECK(bench.kernel.state().swap.used() == 2);
    bench.kernel.exit(bench.cpu(), child);
    bench.kernel.exit(bench.cpu(), parent);
    CHECK(bench.kernel.state().swap.used() == 0);
}

TEST_CASE("fork: a page that is being migrated becomes read-only in both", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    Page& page = bench.isolate(parent, 0);
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kMigration | TtuFlags::kIgnoreAccess));
    REQUIRE(bench.pte(parent, 0).migration_writable());
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    for (Mm* mm : {&parent, &child}) {
        CHECK(bench.pte(*mm, 0).migration());
        CHECK_FALSE(bench.pte(*mm, 0).migration_writable());
    }
    CHECK(bench.kernel.status(bench.cpu(), child).rss_anon == 1);
    // Both entries are found when the migration ends.
    remove_migration_ptes(bench.cpu(), bench.kernel.state(), page, page);
    CHECK(page.mapcount(bench.cpu()) == 2);
    CHECK_FALSE(bench.pte(child, 0).writable());
}

TEST_CASE("fork: shared file mappings are left to fault again", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& parent = bench.kernel.create_mm(bench.cpu(), "parent");
    bench.kernel.mmap_file(bench.cpu(), parent, bench.range(1), file);
    REQUIRE(bench.kernel.touch(bench.cpu(), parent, bench.page(0), Access::kWrite));
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    CHECK(bench.pte(child, 0).none());
    CHECK(bench.pte(parent, 0).writable());
    CHECK(bench.kernel.status(bench.cpu(), child).vm_rss == 0);
    CHECK(file.i_mmap.size() == 2);
}
