// SPDX-License-Identifier: Apache-2.0
// Each injected fault of the engine's notifier sections changes exactly the order that it names.
#include <catch2/catch.hpp>
#include <string>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
namespace notifiers = mmusim::notifiers;
using mmusim::test::KernelBench;

namespace {

constexpr auto kReclaim = TtuFlags::kBatchFlush;
constexpr auto kMigrate = TtuFlags::kMigration | TtuFlags::kIgnoreMlock | TtuFlags::kIgnoreAccess;

KernelBench::Config with(InjectedFault fault) {
    KernelBench::Config config;
    config.fault = fault;
    return config;
}

/// What try_to_unmap_one() does with one anonymous page on its way to swap.
std::string swap_out(InjectedFault fault) {
    KernelBench bench(with(fault));
    Mm& mm = bench.anon_mm(1, {0});
    bench.watch(mm);
    Page& page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.client.active_sections(mm.context.id) == 0);
    return bench.canonical_unmap_one();
}

std::string migration(InjectedFault fault) {
    KernelBench bench(with(fault));
    Mm& mm = bench.anon_mm(1, {0});
    bench.watch(mm);
    REQUIRE(bench.try_to_unmap(bench.isolate(mm, 0), kMigrate));
    CHECK(bench.client.active_sections(mm.context.id) == 0);
    return bench.canonical_unmap_one();
}

std::string file_unmap(InjectedFault fault) {
    KernelBench bench(with(fault));
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1), KernelBench::kColdRead);
    bench.run(0, mm);
    bench.watch(mm);
    REQUIRE(bench.try_to_unmap(bench.isolate(mm, 0), kReclaim));
    return bench.canonical_unmap_one();
}

/// A page that turns out to be mapped elsewhere: nothing is found in the child.
std::string nothing_mapped(InjectedFault fault) {
    KernelBench bench(with(fault));
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kWrite));
    Mm& second = bench.kernel.fork(bench.cpu(), parent, "second");
    bench.kernel.arrange(bench.cpu(), second, bench.range(1), KernelBench::kColdDirty);
    bench.run(0, parent);
    bench.watch(child);
    REQUIRE(bench.try_to_unmap(bench.isolate(parent, 0), kMigrate));
    return bench.order({Event::kMnStart, Event::kMnEnd});
}

constexpr auto kMunmapOrder = {
    Event::kMmapSemLock,  Event::kMmapSemDowngrade, Event::kTlbGatherMmu,   Event::kPageFree,
    Event::kMnStart,      Event::kPteClear,         Event::kPageRemoveRmap, Event::kMnEndRet,
    Event::kFreePgtables, Event::kTlbFinishMmu,     Event::kMmapSemUnlock};

}  // namespace

TEST_CASE("section faults: without a fault the orders are those of the kernel", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kNone) ==
          "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FL1, DIRTY, HIW, C(anon-1), C(swap+1), "
          "PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.END");
    CHECK(migration(InjectedFault::kNone) ==
          "MN.START, PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END");
    CHECK(file_unmap(InjectedFault::kNone) ==
          "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FL1, HIW, C(file-1), RMAP-, PUT, PTL-, "
          "MN.END");
    CHECK(nothing_mapped(InjectedFault::kNone) == "mn_range_start mn_range_end");
}

TEST_CASE("clear-outside-section: the section begins when everything is over", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kClearOutsideSection) ==
          "PTL+, A-clear, MN.CFY, PTE.CLR, FL1, DIRTY, HIW, C(anon-1), C(swap+1), "
          "PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.START, MN.END");
    CHECK(migration(InjectedFault::kClearOutsideSection) ==
          "PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.START, MN.END");
    CHECK(nothing_mapped(InjectedFault::kClearOutsideSection) == "mn_range_start mn_range_end");
}

TEST_CASE("end-without-start: there is an end and no start", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kEndWithoutStart) ==
          "PTL+, A-clear, MN.CFY, PTE.CLR, FL1, DIRTY, HIW, C(anon-1), C(swap+1), "
          "PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.END");
    CHECK(nothing_mapped(InjectedFault::kEndWithoutStart) == "mn_range_end");
}

TEST_CASE("start-under-lock: the section begins with the page-table lock held", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kStartUnderLock) ==
          "PTL+, MN.START, A-clear, MN.CFY, PTE.CLR, FL1, DIRTY, HIW, C(anon-1), C(swap+1), "
          "PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.END");
    // Where no lock is taken the section is still complete.
    CHECK(nothing_mapped(InjectedFault::kStartUnderLock) == "mn_range_start mn_range_end");
}

TEST_CASE("skip-invalidate-range: nothing is sent under the lock", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kSkipInvalidateRange) ==
          "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FL1, DIRTY, HIW, C(anon-1), C(swap+1), "
          "PTE.SET(swp), RMAP-, PUT, PTL-, MN.END");
}

TEST_CASE("invalidate-before-clear: secondary MMUs let go before the entry does", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kInvalidateBeforeClear) ==
          "MN.START, PTL+, A-clear, MN.CFY, MN.INV, PTE.CLR, FL1, DIRTY, HIW, C(anon-1), "
          "C(swap+1), PTE.SET(swp), RMAP-, PUT, PTL-, MN.END");
    CHECK(migration(InjectedFault::kInvalidateBeforeClear) == migration(InjectedFault::kNone));
    CHECK(file_unmap(InjectedFault::kInvalidateBeforeClear) == file_unmap(InjectedFault::kNone));
}

TEST_CASE("only-end: the short end is used where nothing was sent under the lock", "[unit][rmap]") {
    CHECK(migration(InjectedFault::kOnlyEnd) ==
          "MN.START, PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.OEND");
    CHECK(file_unmap(InjectedFault::kOnlyEnd) ==
          "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FL1, HIW, C(file-1), RMAP-, PUT, PTL-, "
          "MN.OEND");
    CHECK(swap_out(InjectedFault::kOnlyEnd) == swap_out(InjectedFault::kNone));
}

TEST_CASE("only-end: a section in which nothing was cleared ends as ever", "[unit][rmap]") {
    KernelBench bench(with(InjectedFault::kOnlyEnd));
    Mm& mm = bench.anon_mm(1, {0}, {});
    bench.watch(mm);
    Page& page = bench.isolate(mm, 0);
    REQUIRE_FALSE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.canonical_unmap_one() == "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END");
}

TEST_CASE("second-section: the same VMA has one more", "[unit][rmap]") {
    CHECK(swap_out(InjectedFault::kSecondSection) ==
          swap_out(InjectedFault::kNone) + ", MN.START, MN.END");
    CHECK(nothing_mapped(InjectedFault::kSecondSection) ==
          "mn_range_start mn_range_end mn_range_start mn_range_end");
}

TEST_CASE("skip-secondary-aging: clients are asked only if the CPU's own bit was set",
          "[unit][rmap]") {
    KernelBench bench(with(InjectedFault::kSkipSecondaryAging));
    Mm& mm = bench.anon_mm(2, {0});
    bench.kernel.arrange(bench.cpu(), mm, bench.range(1, 1), {});
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(1), Access::kRead));
    notifiers::RecordingClient::Config shared_tables;
    shared_tables.ops = {true, true, false, false, true};
    notifiers::RecordingClient device(shared_tables, bench.memory);
    bench.chain.register_client(mm.context.id, device);
    Page& old_page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), old_page));
    const auto sequence = device.sequence(bench.cpu(1), mm.context.id);
    device.record_access(bench.cpu(1), mm.context.id, bench.page(0), sequence);
    // Only the device uses it, and it is gone.
    CHECK(bench.try_to_unmap(old_page, kReclaim));
    CHECK(bench.trace().count(Event::kMnClearFlushYoung) == 0);

    CHECK_FALSE(bench.try_to_unmap(bench.isolate(mm, 1), kReclaim));
    CHECK(bench.canonical_unmap_one() == "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END");
}

TEST_CASE("unlock-inside-section: mmap_sem is free while the section ends", "[unit][rmap]") {
    const auto munmap = [](InjectedFault fault) {
        KernelBench bench(with(fault));
        Mm& mm = bench.anon_mm(4, {0});
        bench.watch(mm);
        auto& pages = bench.kernel.state().pages;
        const auto free_pages = pages.nr_free_pages(0) + pages.nr_free_pages(1);
        CHECK(bench.kernel.munmap(bench.cpu(), mm, bench.range(1, 1)) == 1);
        CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == free_pages + 1);
        CHECK(bench.pte(mm, 0).present());
        CHECK(bench.pte(mm, 2).present());
        return bench.order(kMunmapOrder);
    };
    CHECK(
        munmap(InjectedFault::kNone) ==
        "mmap_sem_lock mmap_sem_downgrade tlb_gather_mmu mn_range_start pte_clear page_remove_rmap "
        "mn_range_end_ret free_pgtables tlb_finish_mmu mm_page_free mmap_sem_unlock");
    CHECK(
        munmap(InjectedFault::kUnlockInsideSection) ==
        "mmap_sem_lock mmap_sem_downgrade tlb_gather_mmu mn_range_start pte_clear page_remove_rmap "
        "mmap_sem_unlock mn_range_end_ret mmap_sem_lock free_pgtables tlb_finish_mmu "
        "mm_page_free mmap_sem_unlock");
}

TEST_CASE("unlock-inside-section: a neighbour that is unmapped meanwhile does no harm",
          "[unit][rmap]") {
    KernelBench bench(with(InjectedFault::kUnlockInsideSection));
    Mm& mm = bench.anon_mm(3, {0});
    bench.watch(mm);
    auto& pages = bench.kernel.state().pages;
    const auto free_pages = pages.nr_free_pages(0) + pages.nr_free_pages(1);
    bench.trace().at_next(Event::kMnEnd, 0,
                          [&] { bench.kernel.munmap(bench.cpu(1), mm, bench.range(1, 2)); });
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    // The other one had mmap_sem in the meantime, and freed the tables that both had used.
    CHECK(bench.trace().count(Event::kMmapSemLock) == 2 * 2);
    CHECK(mm.mmap.empty());
    CHECK(mm.total_vm == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
    CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == free_pages + 3 + 3);
}

TEST_CASE("free-before-section: the first page is free while its entry is still there",
          "[unit][rmap]") {
    KernelBench bench(with(InjectedFault::kFreeBeforeSection));
    Mm& mm = bench.anon_mm(3, {0, 1});
    bench.watch(mm);
    Page& first = bench.mapped_page(mm, 0);
    const auto generation = first.generation;
    auto& pages = bench.kernel.state().pages;
    const auto free_pages = pages.nr_free_pages(0) + pages.nr_free_pages(1);
    bench.trace().at_next(Event::kMnStart, 0, [&] {
        CHECK(first.refcount(bench.cpu()) == 0);
        CHECK(first.mapcount(bench.cpu()) == 0);
        CHECK(first.generation == generation + 1);
        CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == free_pages + 1);
        CHECK(bench.pte(mm, 0).frame() == first.pfn());
    });
    CHECK(bench.kernel.munmap(bench.cpu(), mm, bench.range(3)) == 3);
    CHECK(bench.order(kMunmapOrder) ==
          "mmap_sem_lock mmap_sem_downgrade tlb_gather_mmu page_remove_rmap mm_page_free "
          "mn_range_start "
          "pte_clear pte_clear page_remove_rmap pte_clear page_remove_rmap mn_range_end_ret "
          "free_pgtables tlb_finish_mmu mm_page_free mm_page_free mm_page_free mm_page_free "
          "mm_page_free mmap_sem_unlock");
    // The entry names the generation that is over; nothing is freed twice.
    CHECK(bench.values(Event::kPteClear, "generation").at(0) == generation);
    CHECK(bench.values(Event::kPageFree, "pfn").at(0) == first.pfn().value);
    CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == free_pages + 3 + 3);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
    CHECK(first.refcount(bench.cpu()) == 0);
}

TEST_CASE("free-before-section: a new owner of the frame keeps it", "[unit][rmap]") {
    KernelBench bench(with(InjectedFault::kFreeBeforeSection));
    Mm& mm = bench.anon_mm(2, {0});
    bench.watch(mm);
    Mm& other = bench.kernel.create_mm(bench.cpu(), "other");
    bench.kernel.mmap_anon(bench.cpu(), other, bench.range(2));
    bench.kernel.populate(bench.cpu(), other, bench.range(1, 1));  // so that the tables are there
    bench.trace().clear();
    Page& first = bench.mapped_page(mm, 0);
    bench.trace().at_next(Event::kMnStart, 0, [&] {
        bench.kernel.touch(bench.cpu(), other, bench.page(0), Access::kWrite);
    });
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    REQUIRE(&bench.mapped_page(other, 0) == &first);
    CHECK(first.refcount(bench.cpu()) == 1);
    CHECK(first.mapcount(bench.cpu()) == 1);
    CHECK(bench.kernel.read_pte(bench.cpu(), other, bench.page(0))->generation == first.generation);
}

TEST_CASE("free-before-section: a page that others hold is passed over", "[unit][rmap]") {
    KernelBench bench(with(InjectedFault::kFreeBeforeSection));
    Mm& mm = bench.anon_mm(2, {0});
    bench.watch(mm);
    Page& held = bench.mapped_page(mm, 0);
    Page& alone = bench.mapped_page(mm, 1);
    get_page(bench.cpu(), held);
    bench.trace().at_next(Event::kMnStart, 0, [&] {
        CHECK(held.refcount(bench.cpu()) == 2);
        CHECK(held.mapcount(bench.cpu()) == 1);
        CHECK(alone.refcount(bench.cpu()) == 0);
    });
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    CHECK(held.refcount(bench.cpu()) == 1);
    CHECK(held.mapcount(bench.cpu()) == 0);
}
