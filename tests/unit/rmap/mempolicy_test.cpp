// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/mempolicy.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

constexpr NodeMask kNode0 = 1;
constexpr NodeMask kNode1 = 2;

/// The nodes of the first pages.
std::vector<NodeId> nodes_of(KernelBench& bench, Mm& mm, std::uint64_t pages) {
    std::vector<NodeId> nodes;
    for (std::uint64_t n = 0; n < pages; ++n) nodes.push_back(bench.mapped_page(mm, n).nid());
    return nodes;
}

}  // namespace

TEST_CASE("migrate_pages: all pages of the mm that are on the nodes go, in one list",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(1)}, 1);
    bench.trace().clear();
    CHECK(bench.kernel.migrate_pages(bench.cpu(), mm, kNode0, kNode1, MoveShared::kNo) == 0);
    CHECK(nodes_of(bench, mm, 3) == std::vector<NodeId>{1, 1, 1});
    // Capture h_migrate_pages_anon_n4_thr3 of a 5.0.1 kernel.
    CHECK(bench.order({Event::kDoMigratePages, Event::kMmapSemLock, Event::kMigratePages,
                       Event::kMoveToNewPage, Event::kMmMigratePages, Event::kMigratePagesRet,
                       Event::kMmapSemUnlock}) ==
          "do_migrate_pages mmap_sem_lock migrate_pages move_to_new_page move_to_new_page "
          "mm_migrate_pages migrate_pages_ret mmap_sem_unlock");
    CHECK(bench.values(Event::kMigratePages, "reason") == std::vector<std::uint64_t>{3});
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{0});
}

TEST_CASE("migrate_pages: nothing begins when no page is on the nodes", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    CHECK(bench.kernel.migrate_pages(bench.cpu(), mm, kNode1, kNode0, MoveShared::kNo) == 0);
    CHECK(bench.trace().count(Event::kMigratePages) == 0);
    CHECK(nodes_of(bench, mm, 2) == std::vector<NodeId>{0, 0});
}

TEST_CASE("migrate_pages: pages of several processes go only when asked for", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(2, {0});
    bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.touch(bench.cpu(), parent, bench.page(1), Access::kWrite);
    bench.kernel.migrate_pages(bench.cpu(), parent, kNode0, kNode1, MoveShared::kNo);
    CHECK(nodes_of(bench, parent, 2) == std::vector<NodeId>{0, 1});
    bench.kernel.migrate_pages(bench.cpu(), parent, kNode0, kNode1, MoveShared::kYes);
    CHECK(nodes_of(bench, parent, 2) == std::vector<NodeId>{1, 1});
}

TEST_CASE("migrate_pages: masks are sets, so nodes cannot change places", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(1)}, 1);
    bench.trace().clear();
    bench.kernel.migrate_pages(bench.cpu(), mm, kNode0 | kNode1, kNode1 | kNode0, MoveShared::kNo);
    CHECK(bench.trace().count(Event::kMigratePages) == 0);
    CHECK(nodes_of(bench, mm, 2) == std::vector<NodeId>{0, 1});
}

TEST_CASE("migrate_pages: a node that is in both masks keeps its pages if one mask is larger",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    bench.kernel.migrate_pages(bench.cpu(), mm, kNode0, kNode0 | kNode1, MoveShared::kNo);
    CHECK(bench.trace().count(Event::kMigratePages) == 0);
}

TEST_CASE("migrate_pages: reports the pages that somebody holds", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    get_page(bench.cpu(), bench.mapped_page(mm, 1));
    CHECK(bench.kernel.migrate_pages(bench.cpu(), mm, kNode0, kNode1, MoveShared::kNo) == 1);
    CHECK(nodes_of(bench, mm, 3) == std::vector<NodeId>{1, 0, 1});
}

TEST_CASE("node_remap: maps by place, and leaves alone what is not in the mask", "[unit][rmap]") {
    CHECK(node_remap(3, 0b1010, 0b0101) == 2);
    CHECK(node_remap(1, 0b1010, 0b0101) == 0);
    CHECK(node_remap(3, 0b1010, 0b0001) == 0);
    CHECK(node_remap(2, 0b1010, 0b0101) == 2);
    CHECK(node_remap(1, 0b1010, 0) == 1);
}

TEST_CASE("mbind: only pages of the range move, with mmap_sem held for writing", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    const RangeResult result =
        bench.kernel.mbind(bench.cpu(), mm, bench.range(2, 1), 1, MoveShared::kNo);
    CHECK(result.error == Errno::kNone);
    CHECK(result.pages == 2);
    CHECK(nodes_of(bench, mm, 4) == std::vector<NodeId>{0, 1, 1, 0});
    CHECK(bench.order({Event::kDoMbind, Event::kMmapSemLock, Event::kMigratePages,
                       Event::kMigratePagesRet, Event::kMmapSemUnlock}) ==
          "do_mbind mmap_sem_lock migrate_pages migrate_pages_ret mmap_sem_unlock");
    CHECK(bench.values(Event::kMigratePages, "reason") == std::vector<std::uint64_t>{4});
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{1});
}

TEST_CASE("mbind: the range gets VMAs of its own, also if no page moves", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    CHECK(bench.kernel.mbind(bench.cpu(), mm, bench.range(2, 1), 0, MoveShared::kNo).pages == 0);
    CHECK(bench.trace().count(Event::kMigratePages) == 0);
    CHECK(mm.mmap.size() == 3);
    CHECK(mm.find_vma(bench.page(1))->range() == bench.range(2, 1));
    // The second time they are there.
    bench.kernel.mbind(bench.cpu(), mm, bench.range(2, 1), 0, MoveShared::kNo);
    CHECK(mm.mmap.size() == 3);
}

TEST_CASE("mbind: a hole is an error, and isolated pages go back to their lists", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1, 1));
    bench.trace().clear();
    SECTION("between the VMAs") {
        CHECK(bench.kernel.mbind(bench.cpu(), mm, bench.range(4), 1, MoveShared::kNo).error ==
              Errno::kFault);
    }
    SECTION("at the beginning") {
        CHECK(bench.kernel.mbind(bench.cpu(), mm, bench.range(3, 1), 1, MoveShared::kNo).error ==
              Errno::kFault);
    }
    SECTION("behind the last VMA") {
        CHECK(bench.kernel.mbind(bench.cpu(), mm, bench.range(4, 2), 1, MoveShared::kNo).error ==
              Errno::kFault);
    }
    CHECK(bench.trace().count(Event::kMigratePages) == 0);
    bench.drain();
    for (const std::uint64_t index : {0, 2, 3}) {
        CHECK(bench.mapped_page(mm, index).nid() == 0);
        CHECK(bench.mapped_page(mm, index).test(bench.cpu(), PageFlag::kLru));
        CHECK(bench.mapped_page(mm, index).refcount(bench.cpu()) == 1);
    }
}

TEST_CASE("mbind: v5.0 does not notice that the range goes on behind one VMA if there are others",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1, 1));
    const RangeResult result =
        bench.kernel.mbind(bench.cpu(), mm, bench.range(2), 1, MoveShared::kNo);
    CHECK(result.error == Errno::kNone);
    CHECK(bench.mapped_page(mm, 0).nid() == 1);
}
