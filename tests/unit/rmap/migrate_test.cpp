// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/migrate.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/file_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FileBench;
using mmusim::test::KernelBench;

TEST_CASE("move_pages: the events of one page come in the captured order", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    const MoveResult result = bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1);
    CHECK(result.succeeded == 1);
    // Capture h_move_anon_n1_none of a 5.0.1 kernel, from OP_BEGIN to OP_END.
    CHECK(bench.order(
              {Event::kMigratePages,           Event::kTryToUnmap,        Event::kRmapWalkAnon,
               Event::kLockAnonVmaRead,        Event::kTryToUnmapOne,     Event::kPageVmaMappedWalk,
               Event::kPageVmaMappedWalkRet,   Event::kPtepClearFlush,    Event::kFlushTlbMmRange,
               Event::kFlushTlbMmRangeRet,     Event::kPtepClearFlushRet, Event::kSetPageDirty,
               Event::kPteSetMigration,        Event::kPageRemoveRmap,    Event::kTryToUnmapOneRet,
               Event::kRmapWalkAnonRet,        Event::kTryToUnmapRet,     Event::kMoveToNewPage,
               Event::kMigratePageMoveMapping, Event::kMigratePageCopy,   Event::kMoveToNewPageRet,
               Event::kRemoveMigrationPte,     Event::kPageAddAnonRmap,   Event::kPageFree,
               Event::kMmMigratePages,         Event::kMigratePagesRet}) ==
          "migrate_pages try_to_unmap rmap_walk_anon lock_anon_vma_read try_to_unmap_one "
          "page_vma_mapped_walk page_vma_mapped_walk_ret ptep_clear_flush flush_tlb_mm_range "
          "flush_tlb_mm_range_ret ptep_clear_flush_ret set_page_dirty pte_set_migration "
          "page_remove_rmap page_vma_mapped_walk page_vma_mapped_walk_ret try_to_unmap_one_ret "
          "rmap_walk_anon_ret try_to_unmap_ret move_to_new_page migrate_page_move_mapping "
          "migrate_page_copy move_to_new_page_ret rmap_walk_anon remove_migration_pte "
          "page_vma_mapped_walk page_vma_mapped_walk_ret page_add_anon_rmap page_vma_mapped_walk "
          "page_vma_mapped_walk_ret rmap_walk_anon_ret mm_page_free mm_migrate_pages "
          "migrate_pages_ret");
    CHECK(bench.values(Event::kPageVmaMappedWalkRet, "ret") ==
          std::vector<std::uint64_t>{1, 0, 1, 0});
    CHECK(bench.values(Event::kMmMigratePages, "reason") == std::vector<std::uint64_t>{3});
    CHECK(bench.values(Event::kTryToUnmap, "flags") == std::vector<std::uint64_t>{0x19});
}

TEST_CASE("move_pages: the page ends up on the other node and the old frame is free",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    Page& old_page = bench.mapped_page(mm, 0);
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1);
    Page& new_page = bench.mapped_page(mm, 0);
    CHECK(new_page.nid() == 1);
    CHECK(bench.mapped_page(mm, 1).nid() == 0);
    CHECK(old_page.refcount(bench.cpu()) == 0);
    bench.drain();
    CHECK(new_page.refcount(bench.cpu()) == 1);
    CHECK(new_page.mapcount(bench.cpu()) == 1);
    CHECK(new_page.test(bench.cpu(), PageFlag::kLru));
    CHECK(new_page.test(bench.cpu(), PageFlag::kDirty));
    // The reference that kept the anon_vma meanwhile is gone as well.
    const AnonVma& anon_vma = page_anon_vma(bench.kernel.state(), new_page.mapping(bench.cpu()));
    CHECK(bench.machine.memory()[anon_vma.refcount].value == 1);

    const Pte pte = bench.pte(mm, 0);
    CHECK(pte.writable());
    CHECK_FALSE(pte.young());
    CHECK_FALSE(pte.dirty());
    const MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.rss_anon == 2);
    CHECK(bench.trace().count(Event::kMmCounter) == 0);
}

TEST_CASE("move_pages: the old frame is sealed before the copy and freed after the entries are set",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    const Generation generation = bench.mapped_page(mm, 0).generation;
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1);
    CHECK(bench.order({Event::kPtepClearFlushRet, Event::kPageSealed, Event::kMigratePageCopy,
                       Event::kPteSet, Event::kPageFree}) ==
          "ptep_clear_flush_ret page_sealed migrate_page_copy pte_set mm_page_free");
    CHECK(bench.values(Event::kPageSealed, "generation") == std::vector<std::uint64_t>{generation});
    CHECK(bench.values(Event::kPageFree, "generation") ==
          std::vector<std::uint64_t>{generation + 1});
    CHECK(bench.kernel.read_pte(bench.cpu(), mm, bench.page(0))->generation ==
          bench.mapped_page(mm, 0).generation);
}

TEST_CASE("move_pages: pages of several processes move only when asked for", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {0});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    CHECK(bench.kernel.move_pages(bench.cpu(), parent, {bench.page(0)}, 1).skipped == 1);
    CHECK(bench.mapped_page(parent, 0).nid() == 0);

    bench.trace().clear();
    const MoveResult result =
        bench.kernel.move_pages(bench.cpu(), parent, {bench.page(0)}, 1, MoveShared::kYes);
    CHECK(result.succeeded == 1);
    CHECK(&bench.mapped_page(parent, 0) == &bench.mapped_page(child, 0));
    CHECK(bench.mapped_page(child, 0).mapcount(bench.cpu()) == 2);
    CHECK(bench.trace().count(Event::kPtepClearFlush) == 2);
    // Write-protected by fork, and so they stay.
    CHECK_FALSE(bench.pte(parent, 0).writable());
}

TEST_CASE("move_pages: what is not mapped or on the node already is skipped", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    const MoveResult result = bench.kernel.move_pages(
        bench.cpu(), mm, {bench.page(0), bench.page(1), bench.page(7), {0x5000}}, 0);
    CHECK(result.skipped == 4);
    CHECK(result.succeeded == 0);
    CHECK(bench.trace().count(Event::kMigratePages) == 0);
}

TEST_CASE("move_pages: somebody else's reference makes it put the old page back", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    get_page(bench.cpu(), page);
    const MoveResult result = bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1);
    CHECK(result.failed == 1);
    CHECK(bench.trace().count(Event::kMoveToNewPage) == 10);
    CHECK(bench.trace().count(Event::kMigratePageCopy) == 0);
    CHECK(bench.trace().count(Event::kPageSealed) == 0);
    CHECK(&bench.mapped_page(mm, 0) == &page);
    CHECK(page.mapcount(bench.cpu()) == 1);
    bench.drain();
    CHECK(page.test(bench.cpu(), PageFlag::kLru));
    const auto& finished = bench.machine.account(0).finished();
    CHECK(std::count_if(finished.begin(), finished.end(), [](const auto& done) {
              return done.kind == OperationKind::kUnmap && done.outcome == Outcome::kAbandoned;
          }) == 10);
}

TEST_CASE("move_pages: pages collected before an address without a page are moved first",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    const MoveResult result = bench.kernel.move_pages(
        bench.cpu(), mm, {bench.page(0), bench.page(1), {0x5000}, bench.page(2)}, 1);
    CHECK(result.succeeded == 3);
    CHECK(result.skipped == 1);
    CHECK(bench.values(Event::kMmMigratePages, "nr_succeeded") == std::vector<std::uint64_t>{2, 1});
}

TEST_CASE("move_pages: an address whose page is there already does not end the list",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(1)}, 1);
    bench.trace().clear();
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0), bench.page(1), bench.page(2)}, 1);
    CHECK(bench.values(Event::kMmMigratePages, "nr_succeeded") == std::vector<std::uint64_t>{2});
}

TEST_CASE("move_pages: it ends with the first list of which a page could not be moved",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    get_page(bench.cpu(), bench.mapped_page(mm, 1));
    const MoveResult result = bench.kernel.move_pages(
        bench.cpu(), mm, {bench.page(0), bench.page(1), {0x5000}, bench.page(2)}, 1);
    CHECK(result.succeeded == 1);
    CHECK(result.failed == 1);
    CHECK(result.skipped == 2);
    CHECK(bench.trace().count(Event::kMigratePages) == 1);
    CHECK(bench.mapped_page(mm, 2).nid() == 0);
}

TEST_CASE("move_pages: a full node takes no page, and no other node does", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    auto& pages = bench.kernel.state().pages;
    while (pages.nr_free_pages(1) > 1) pages.alloc_page_thisnode(bench.cpu(), 1);
    const MoveResult result =
        bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0), bench.page(1), bench.page(2)}, 1);
    CHECK(result.succeeded == 1);
    CHECK(result.failed == 2);
    CHECK(bench.values(Event::kMmMigratePages, "nr_failed") == std::vector<std::uint64_t>{1});
    CHECK(bench.values(Event::kMigratePagesRet, "ret") ==
          std::vector<std::uint64_t>{~std::uint64_t{12} + 1});
    CHECK(bench.mapped_page(mm, 2).nid() == 0);
    bench.drain();
    CHECK(bench.mapped_page(mm, 2).test(bench.cpu(), PageFlag::kLru));
    CHECK_FALSE(pages.alloc_page_thisnode(bench.cpu(), 1));
}

TEST_CASE("move_pages: the old page of a file has left it and its flags are those of a new page",
          "[unit][rmap]") {
    FileBench bench(FileKind::kExt4, 1, {1});
    Page& old_page = bench.mapped_page(*bench.mms[0], 0);
    old_page.set(bench.cpu(), PageFlag::kReclaim);
    old_page.set(bench.cpu(), PageFlag::kReferenced);
    get_page(bench.cpu(), old_page);
    CHECK(bench.kernel.move_pages(bench.cpu(), *bench.mms[0], {bench.page(0)}, 1).failed == 1);
    CHECK_FALSE(old_page.mapping(bench.cpu()).null());
    put_page(bench.cpu(), bench.kernel.state(), old_page);

    CHECK(bench.kernel.move_pages(bench.cpu(), *bench.mms[0], {bench.page(0)}, 1).succeeded == 1);
    CHECK(old_page.mapping(bench.cpu()).null());
    const Page& new_page = bench.mapped_page(*bench.mms[0], 0);
    CHECK(new_page.test(bench.cpu(), PageFlag::kDirty));
    CHECK(new_page.test(bench.cpu(), PageFlag::kReferenced));
    CHECK_FALSE(new_page.test(bench.cpu(), PageFlag::kReclaim));
}

TEST_CASE("move_pages: a page that is unmapped meanwhile is only freed", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    bench.trace().at_next(Event::kMigratePages, 0,
                          [&] { bench.kernel.munmap(bench.cpu(1), mm, bench.range(1)); });
    auto& pages = bench.kernel.state().pages;
    const auto on_other_node = pages.nr_free_pages(1);
    CHECK(bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1).succeeded == 1);
    CHECK(page.refcount(bench.cpu()) == 0);
    CHECK(bench.trace().count(Event::kMoveToNewPage) == 0);
    CHECK(pages.nr_free_pages(1) == on_other_node);
}

TEST_CASE("move_pages: a page of the page cache keeps its place there", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1), KernelBench::kColdRead);
    bench.run(0, mm);
    Page& old_page = bench.mapped_page(mm, 0);
    CHECK(bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1).succeeded == 1);
    Page& new_page = bench.mapped_page(mm, 0);
    CHECK(new_page.nid() == 1);
    CHECK(find_get_page(bench.cpu(), bench.kernel.state(), file, 0, Part::kUser) == &new_page);
    CHECK(old_page.refcount(bench.cpu()) == 0);
    bench.drain();
    CHECK(new_page.refcount(bench.cpu()) == 3);  // mapping, page cache, ours
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_file == 1);
}

TEST_CASE("move_pages: one unmap operation per page ends when its old frame is free",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0), bench.page(1)}, 1);
    std::vector<OperationResult> unmaps;
    for (const auto& result : bench.machine.account(0).finished())
        if (result.kind == OperationKind::kUnmap) unmaps.push_back(result);
    REQUIRE(unmaps.size() == 2);
    const auto begins = bench.trace().find(Event::kTryToUnmap);
    const auto frees = bench.trace().find(Event::kPageFree);
    for (unsigned i = 0; i < 2; ++i) {
        CHECK(unmaps[i].begin == begins[i].time);
        CHECK(unmaps[i].end >= frees[i].time);
        CHECK(unmaps[i].outcome == Outcome::kDone);
        CHECK(unmaps[i].parts[Part::kCopy] == bench.machine.costs().copy_page);
    }
    CHECK(unmaps[0].end <= unmaps[1].begin);
}

TEST_CASE("migration entry: a fault waits until the page is moved", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0, 1});
    // CPU 1 touches the page while it is being moved. It has to wait for CPU 0, which cannot go on
    // in this bench before CPU 1 returns: so CPU 1 faults just before the page is unlocked.
    bool waited = false;
    bench.machine.time(1).while_waiting = [&] {
        waited = true;
        // What CPU 0 would do next: hand the page lock over.
        unlock_page(bench.cpu(0),
                    bench.kernel.state().pages.pfn_to_page(bench.pte(mm, 0).migration_frame()));
    };
    Page& page = bench.isolate(mm, 0);
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kMigration | TtuFlags::kIgnoreAccess));
    CHECK(bench.kernel.handle_page_fault(bench.cpu(1), mm, bench.page(0), Access::kRead) ==
          FaultResult::kHandled);
    CHECK(waited);
    CHECK(bench.pte(mm, 0).migration());     // the fault itself changes nothing
    CHECK(page.refcount(bench.cpu()) == 1);  // and holds no reference while it waits
    CHECK_FALSE(page.lock.held_by(bench.cpu(1)));
}
