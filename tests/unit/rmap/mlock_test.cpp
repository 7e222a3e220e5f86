// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mlock.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/mlock_page.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/try_to_unmap.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

/// Names of what a capture of a 5.0 kernel would show of CPU 0.
std::string captured(KernelBench& bench) {
    std::string names;
    for (const auto& record : bench.trace().records())
        if (record.actor == 0 && !info(record.event).capture_5_0.empty())
            names += (names.empty() ? "" : " ") + std::string(info(record.event).capture_5_0);
    return names;
}

/// Pages of group 0 on an LRU list, on both nodes, once none is on its way any more.
std::uint64_t on_list(KernelBench& bench, LruList list) {
    bench.drain();
    Lru& lru = bench.kernel.state().lru;
    return lru.size(0, 0, list) + lru.size(1, 0, list);
}

bool mlocked(KernelBench& bench, const Page& page) {
    return page.test(bench.cpu(), PageFlag::kMlocked);
}

struct SharedFile {
    explicit SharedFile(KernelBench& on)
        : bench(on),
          file(on.kernel.create_file("file", 4)),
          parent(on.kernel.create_mm(on.cpu(), "main")) {
        on.kernel.mmap_file(on.cpu(), parent, on.range(4), file);
        child = &on.kernel.fork(on.cpu(), parent, "child");
        for (Mm* mm : {&parent, child})
            on.kernel.populate(on.cpu(), *mm, on.range(4), KernelBench::kColdRead);
        on.trace().clear();
    }

    Page& page(std::uint64_t index) { return bench.mapped_page(parent, index); }

    KernelBench& bench;
    AddressSpace& file;
    Mm& parent;
    Mm* child = nullptr;
};

ReclaimControl on_node_0() { return {}; }

}  // namespace

TEST_CASE("mlock: pages come to the unevictable list in the captured order", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(4));
    bench.run(0, mm);
    for (std::uint64_t i = 0; i < 4; ++i)  // still on their way to the list
        REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(i), Access::kWrite));
    bench.trace().clear();
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(4)) == Errno::kNone);
    // g_mlock_anon_n4_thr3
    CHECK(captured(bench) ==
          "free_unref_page_list mlock_page free_unref_page_list mlock_page free_unref_page_list "
          "mlock_page free_unref_page_list mlock_page");
    CHECK(on_list(bench, LruList::kUnevictable) == 4);
    for (std::uint64_t i = 0; i < 4; ++i) {
        Page& page = bench.mapped_page(mm, i);
        CHECK(mlocked(bench, page));
        CHECK(page.refcount(bench.cpu()) == 1);
        CHECK_FALSE(page.lock.held_by(bench.cpu()));
    }
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_lck == 4);
}

TEST_CASE("mlock: pages that are not there are faulted in and private ones copied",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));  // the zero page
    bench.run(0, mm);
    bench.trace().clear();
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(2)) == Errno::kNone);
    CHECK(bench.pte(mm, 0).writable());
    CHECK(bench.pte(mm, 1).writable());
    CHECK(on_list(bench, LruList::kUnevictable) == 2);
    CHECK(bench.trace().count(Event::kPageFault) == 0);
}

TEST_CASE("mlock: a page that somebody has locked is left to reclaim", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    Page& busy = bench.mapped_page(mm, 0);
    lock_page(bench.cpu(1), busy);
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(2)) == Errno::kNone);
    unlock_page(bench.cpu(1), busy);
    CHECK_FALSE(mlocked(bench, busy));
    CHECK(on_list(bench, LruList::kUnevictable) == 1);
    for (std::uint64_t i = 0; i < 2; ++i) {
        const auto slot =
            find_pte(bench.cpu(), bench.kernel.state(), mm, bench.page(i), Part::kUser);
        pte_clear_bits(bench.cpu(), slot->ptep, Pte::kAccessed);
    }

    bench.kernel.state().lru.deactivate_page(bench.cpu(), busy);
    bench.trace().clear();
    CHECK(bench.kernel.reclaim_pages(bench.cpu(), on_node_0()).reclaimed == 0);
    CHECK(mlocked(bench, busy));
    CHECK(on_list(bench, LruList::kUnevictable) == 2);
    CHECK(on_list(bench, LruList::kActiveAnon) == 0);
    // The slot that it was given is given back, and it was neither aged nor unmapped.
    CHECK(bench.kernel.state().swap.used() == 0);
    CHECK(bench.order({Event::kPageReferencedOneRet, Event::kPtepClearFlushYoung,
                       Event::kAddToSwapRet, Event::kMlockPage, Event::kTryToUnmapOneRet,
                       Event::kTryToFreeSwap}) ==
          "page_referenced_one_ret add_to_swap_ret mlock_page try_to_unmap_one_ret "
          "try_to_free_swap");
    CHECK(bench.values(Event::kTryToUnmapRet, "ret") == std::vector<std::uint64_t>{0});
}

TEST_CASE("mlock: reclaim does not even scan mlocked pages", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {1});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(4)) == Errno::kNone);
    const ReclaimResult result = bench.kernel.reclaim_pages(bench.cpu(), on_node_0());
    CHECK(result.scanned == 0);
    CHECK(on_list(bench, LruList::kUnevictable) == 4);
}

TEST_CASE("mlock: a page that is mlocked while it is isolated goes to the unevictable list",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1}, {});
    Page& page = bench.mapped_page(mm, 0);
    REQUIRE(bench.kernel.state().lru.isolate_lru_page(bench.cpu(), page));
    REQUIRE(bench.kernel.mlock(bench.cpu(1), mm, bench.range(1)) == Errno::kNone);
    CHECK(mlocked(bench, page));
    CHECK(on_list(bench, LruList::kUnevictable) == 0);
    putback_lru_page(bench.cpu(), bench.kernel.state(), page);
    CHECK(on_list(bench, LruList::kUnevictable) == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
}

TEST_CASE("mlock: reclaim puts pages that were mlocked meanwhile on the unevictable list",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    const auto mlock_all = [&] {
        REQUIRE(bench.kernel.mlock(bench.cpu(1), mm, bench.range(2)) == Errno::kNone);
    };
    SECTION("before it looks at them") {
        bench.trace().at_next(Event::kShrinkPageList, 0, mlock_all);
        const ReclaimResult result = bench.kernel.reclaim_pages(bench.cpu(), on_node_0());
        CHECK(result.scanned == 2);
        CHECK(bench.trace().count(Event::kPageReferenced) == 0);
    }
    SECTION("while it ages them") {
        for (std::uint64_t i = 0; i < 2; ++i)
            activate_page(bench.cpu(), bench.kernel.state(), bench.mapped_page(mm, i));
        bench.drain();
        bench.trace().at_next(Event::kPageReferenced, 0, mlock_all);
        ReclaimControl control;
        control.nr_to_scan = 2;
        bench.kernel.reclaim_pages(bench.cpu(), control);
        // The first one was being looked at; it is found out when its turn comes again.
        CHECK(bench.trace().count(Event::kPageReferenced) == 1);
    }
    CHECK(bench.values(Event::kShrinkInactive, "nr_activate") == std::vector<std::uint64_t>{0});
    CHECK(on_list(bench, LruList::kUnevictable) == 2);
    CHECK(on_list(bench, LruList::kActiveAnon) == 0);
    CHECK(on_list(bench, LruList::kInactiveAnon) == 0);
}

TEST_CASE("mlock: one locked VMA outweighs that others have used the page", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Page& page = bench.mapped_page(parent, 0);
    lock_page(bench.cpu(), page);  // so that mlock() has to leave it
    REQUIRE(bench.kernel.mlock(bench.cpu(1), child, bench.range(1), MlockFlags::kOnFault) ==
            Errno::kNone);
    unlock_page(bench.cpu(), page);
    REQUIRE(bench.kernel.touch(bench.cpu(1), parent, bench.page(0), Access::kRead));
    REQUIRE_FALSE(mlocked(bench, page));
    ReclaimControl once;
    once.nr_to_scan = 1;
    bench.kernel.reclaim_pages(bench.cpu(), once);
    CHECK(mlocked(bench, page));
    CHECK(on_list(bench, LruList::kUnevictable) == 1);
    CHECK(bench.pte(parent, 0).swap_type());
    CHECK(bench.pte(child, 0).present());
}

TEST_CASE("mlock2: MLOCK_ONFAULT locks what is there and leaves the rest to its faults",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(2), MlockFlags::kOnFault) ==
            Errno::kNone);
    CHECK(mlocked(bench, bench.mapped_page(mm, 0)));
    CHECK(bench.pte(mm, 1).none());
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(1), Access::kWrite));
    CHECK(mlocked(bench, bench.mapped_page(mm, 1)));
    CHECK(on_list(bench, LruList::kUnevictable) == 2);
    CHECK(bench.trace().count(Event::kMlockPage) == 1);  // the fault needs no mlock_vma_page()
}

TEST_CASE("mlock: part of a VMA is split off and a hole is an error", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(8, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(3, 2)) == Errno::kNone);
    CHECK(mm.mmap.size() == 3);
    CHECK_FALSE(mm.find_vma(bench.page(1))->has(VmFlags::kLocked));
    const Vma& locked = *mm.find_vma(bench.page(2));
    CHECK(locked.has(VmFlags::kLocked));
    CHECK(locked.range() == bench.range(3, 2));
    CHECK(read_vm_flags(bench.cpu(), locked) == locked.vm_flags);
    CHECK(mm.locked_vm == 3);

    // What is locked already is not counted twice.
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(4, 1)) == Errno::kNone);
    CHECK(mm.locked_vm == 4);
    CHECK(on_list(bench, LruList::kUnevictable) == 4);

    bench.kernel.munmap(bench.cpu(), mm, bench.range(1, 6));
    CHECK(bench.kernel.mlock(bench.cpu(), mm, bench.range(3, 5)) == Errno::kNoMemory);
    CHECK(mm.locked_vm == 5);  // up to the hole
    CHECK(bench.kernel.munlock(bench.cpu(), mm, bench.range(8)) == Errno::kNoMemory);
    CHECK(mm.locked_vm == 0);
}

TEST_CASE("munlock: pages that nobody else maps come back without a walk", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(4)) == Errno::kNone);
    bench.drain();
    bench.trace().clear();
    REQUIRE(bench.kernel.munlock(bench.cpu(), mm, bench.range(4)) == Errno::kNone);
    CHECK(captured(bench) == "free_unref_page_list");  // g_munlock_anon_n4_thr3
    CHECK(on_list(bench, LruList::kUnevictable) == 0);
    CHECK(on_list(bench, LruList::kInactiveAnon) == 4);
    for (std::uint64_t i = 0; i < 4; ++i) {
        Page& page = bench.mapped_page(mm, i);
        CHECK_FALSE(mlocked(bench, page));
        CHECK_FALSE(page.test(bench.cpu(), PageFlag::kUnevictable));
        CHECK(page.refcount(bench.cpu()) == 1);
    }
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_lck == 0);
    CHECK_FALSE(read_vm_flags(bench.cpu(), *mm.find_vma(bench.page(0))) & VmFlags::kLocked);
}

TEST_CASE("munlock: pages are taken in lots of fifteen of one node and one table", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(20, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(20)) == Errno::kNone);
    bench.drain();
    bench.trace().clear();
    REQUIRE(bench.kernel.munlock(bench.cpu(), mm, bench.range(20)) == Errno::kNone);
    CHECK(captured(bench) == "free_unref_page_list free_unref_page_list");

    // A page of the other node ends a lot, and so does a hole.
    Mm& mixed = bench.kernel.create_mm(bench.cpu(), "mixed");
    bench.kernel.mmap_anon(bench.cpu(), mixed, bench.range(6),
                           VmFlags::kLocked | VmFlags::kLockOnFault);
    for (const std::uint64_t i : {0, 1, 4, 5})
        REQUIRE(
            bench.kernel.touch(bench.cpu(i == 1 ? 1 : 0), mixed, bench.page(i), Access::kWrite));
    bench.drain();
    bench.trace().clear();
    REQUIRE(bench.kernel.munlock(bench.cpu(), mixed, bench.range(6)) == Errno::kNone);
    CHECK(captured(bench) == "free_unref_page_list free_unref_page_list free_unref_page_list");
    CHECK(on_list(bench, LruList::kUnevictable) == 0);
}

TEST_CASE("X12: munlock by the only one who locked clears PG_mlocked in the captured order",
          "[unit][rmap]") {
    KernelBench bench;
    SharedFile shared(bench);
    REQUIRE(bench.kernel.mlock(bench.cpu(), shared.parent, bench.range(1)) == Errno::kNone);
    Page& page = shared.page(0);
    REQUIRE(mlocked(bench, page));
    bench.drain();
    bench.trace().clear();
    REQUIRE(bench.kernel.munlock(bench.cpu(), shared.parent, bench.range(1)) == Errno::kNone);
    // g_munlock_file_onlylocker_p3_n4, for one page and two processes: no VMA is looked into.
    CHECK(captured(bench) ==
          "try_to_munlock rmap_walk_file try_to_unmap_one try_to_unmap_one_ret try_to_unmap_one "
          "try_to_unmap_one_ret rmap_walk_file_ret try_to_munlock_ret");
    CHECK(bench.values(Event::kTryToUnmapOne, "flags") == std::vector<std::uint64_t>{2, 2});
    CHECK(bench.values(Event::kTryToUnmapOneRet, "ret") == std::vector<std::uint64_t>{1, 1});
    CHECK_FALSE(mlocked(bench, page));
    CHECK(on_list(bench, LruList::kUnevictable) == 0);
    CHECK(on_list(bench, LruList::kInactiveFile) == 4);
    CHECK(page.refcount(bench.cpu()) == 3);  // two mappings and the page cache
    CHECK_FALSE(page.lock.held_by(bench.cpu()));
}

TEST_CASE("X12: munlock finds the other VMA that has the page locked and stops there",
          "[unit][rmap]") {
    KernelBench bench;
    SharedFile shared(bench);
    Mm& third = bench.kernel.fork(bench.cpu(), shared.parent, "third");
    bench.kernel.populate(bench.cpu(), third, bench.range(1), KernelBench::kColdRead);
    for (Mm* mm : {&shared.parent, &third})
        REQUIRE(bench.kernel.mlock(bench.cpu(), *mm, bench.range(1)) == Errno::kNone);
    Page& page = shared.page(0);
    bench.drain();
    bench.trace().clear();
    REQUIRE(bench.kernel.munlock(bench.cpu(), shared.parent, bench.range(1)) == Errno::kNone);
    // A VMA moves behind the others of the tree when it is split and when it is merged again.
    CHECK(bench.values(Event::kTryToUnmapOne, "mm") ==
          std::vector<std::uint64_t>{shared.child->context.id, third.context.id});
    CHECK(bench.values(Event::kTryToUnmapOneRet, "ret") == std::vector<std::uint64_t>{1, 0});
    CHECK(bench.trace().count(Event::kMlockPage) == 1);
    CHECK(bench.trace().count(Event::kPtepClearFlush) == 0);
    CHECK(mlocked(bench, page));
    CHECK(on_list(bench, LruList::kUnevictable) == 1);
    CHECK(bench.pte(third, 0).present());
}

TEST_CASE("X12: munlock of a page that nothing maps any more stops at the first VMA",
          "[unit][rmap]") {
    KernelBench bench;
    SharedFile shared(bench);
    Page& page = shared.page(0);
    lock_page(bench.cpu(), page);
    REQUIRE(bench.kernel.state().lru.isolate_lru_page(bench.cpu(), page));
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kIgnoreAccess));
    bench.trace().clear();
    try_to_munlock(bench.cpu(), bench.kernel.state(), page);
    CHECK(bench.values(Event::kTryToUnmapOne, "mm") ==
          std::vector<std::uint64_t>{shared.parent.context.id});
}

TEST_CASE("mlock: the last mapping that goes takes PG_mlocked along", "[unit][rmap]") {
    KernelBench bench;
    SharedFile shared(bench);
    bench.kernel.munmap(bench.cpu(), *shared.child, bench.range(4));
    REQUIRE(bench.kernel.mlock(bench.cpu(), shared.parent, bench.range(1)) == Errno::kNone);
    Page& page = shared.page(0);
    bench.drain();
    bench.trace().clear();
    lock_page(bench.cpu(), page);
    REQUIRE(bench.kernel.state().lru.isolate_lru_page(bench.cpu(), page));
    REQUIRE(try_to_unmap(bench.cpu(), bench.kernel.state(), page,
                         TtuFlags::kIgnoreMlock | TtuFlags::kIgnoreAccess));
    CHECK(bench.order({Event::kPageRemoveRmap, Event::kClearPageMlock}) ==
          "page_remove_rmap clear_page_mlock");
    CHECK_FALSE(mlocked(bench, page));
    putback_lru_page(bench.cpu(), bench.kernel.state(), page);
    CHECK(on_list(bench, LruList::kUnevictable) == 0);
}

TEST_CASE("mlock: unmapping munlocks first and so frees the pages from the evictable lists",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(4)) == Errno::kNone);
    bench.trace().clear();
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    CHECK(bench.trace().count(Event::kClearPageMlock) == 0);
    CHECK(mm.locked_vm == 2);
    CHECK(on_list(bench, LruList::kUnevictable) == 2);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2, 2));
    CHECK(mm.locked_vm == 0);
    CHECK(on_list(bench, LruList::kUnevictable) == 0);
}

TEST_CASE("mlock: a child inherits no memory locks", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), parent, bench.range(1), MlockFlags::kOnFault) ==
            Errno::kNone);
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    CHECK(child.locked_vm == 0);
    const Vma& vma = *child.find_vma(bench.page(0));
    CHECK_FALSE(vma.vm_flags & (VmFlags::kLocked | VmFlags::kLockOnFault));
    CHECK(read_vm_flags(bench.cpu(), vma) == vma.vm_flags);
    CHECK(parent.find_vma(bench.page(0))->has(VmFlags::kLocked | VmFlags::kLockOnFault));
}

TEST_CASE("mlock: who breaks sharing in a locked VMA leaves the old page munlocked",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), parent, bench.range(1)) == Errno::kNone);
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Page& old_page = bench.mapped_page(child, 0);
    REQUIRE(mlocked(bench, old_page));
    bench.trace().clear();
    REQUIRE(bench.kernel.touch(bench.cpu(), parent, bench.page(0), Access::kWrite));
    CHECK(bench.trace().count(Event::kMunlockPage) == 1);
    CHECK(bench.trace().count(Event::kTryToMunlock) == 0);  // the child alone maps it
    CHECK_FALSE(mlocked(bench, old_page));
    CHECK(mlocked(bench, bench.mapped_page(parent, 0)));
    CHECK(on_list(bench, LruList::kUnevictable) == 1);
    CHECK(old_page.refcount(bench.cpu()) == 1);
}

TEST_CASE("mlock: what a locked VMA maps from the swap cache keeps no slot", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kIgnoreAccess));
    unlock_page(bench.cpu(), page);
    putback_lru_page(bench.cpu(), bench.kernel.state(), page);
    REQUIRE(bench.kernel.mlock(bench.cpu(1), mm, bench.range(1), MlockFlags::kOnFault) ==
            Errno::kNone);
    bench.trace().clear();
    REQUIRE(bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead));
    CHECK(&bench.mapped_page(mm, 0) == &page);
    CHECK(bench.trace().find(Event::kTryToFreeSwap).size() == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kSwapCache));
    CHECK(bench.kernel.state().swap.used() == 0);
}

TEST_CASE("mlock: migration keeps pages mlocked", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(1)) == Errno::kNone);
    bench.trace().clear();
    const MoveResult moved = bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1);
    REQUIRE(moved.succeeded == 1);
    // g_move_mlocked_anon_n4_thr3
    CHECK(bench.order({Event::kPteSetMigration, Event::kPageRemoveRmap, Event::kClearPageMlock,
                       Event::kTryToUnmapOneRet, Event::kMigratePageCopy,
                       Event::kRemoveMigrationPte, Event::kPageAddAnonRmap, Event::kMlockPage,
                       Event::kRmapWalkAnonRet, Event::kPageFree}) ==
          "pte_set_migration page_remove_rmap clear_page_mlock try_to_unmap_one_ret "
          "rmap_walk_anon_ret migrate_page_copy remove_migration_pte page_add_anon_rmap mlock_page "
          "rmap_walk_anon_ret mm_page_free");
    Page& page = bench.mapped_page(mm, 0);
    CHECK(page.nid() == 1);
    CHECK(mlocked(bench, page));
    bench.drain();
    CHECK(bench.kernel.state().lru.size(1, 0, LruList::kUnevictable) == 1);
    CHECK(page.refcount(bench.cpu()) == 1);
}

TEST_CASE("mlock: locked memory is not reaped", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {1});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(1)) == Errno::kNone);
    CHECK(bench.kernel.oom_reap(bench.cpu(), mm).pages == 3);
    CHECK(bench.pte(mm, 0).present());
}
