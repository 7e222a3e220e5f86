// SPDX-License-Identifier: Apache-2.0
// What try_to_unmap() leaves behind; the orders of its events are in canonical_unmap_test.cpp.
#include "rmap/unmap/try_to_unmap.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
namespace notifiers = mmusim::notifiers;
using mmusim::test::KernelBench;

namespace {

constexpr auto kReclaim = TtuFlags::kBatchFlush;
constexpr auto kMigrate = TtuFlags::kMigration | TtuFlags::kIgnoreMlock | TtuFlags::kIgnoreAccess;

/// An anonymous page as shrink_page_list() hands it to try_to_unmap(): isolated, locked, with a
/// swap slot.
Page& swap_candidate(KernelBench& bench, Mm& mm, std::uint64_t index = 0) {
    Page& page = bench.isolate(mm, index);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    return page;
}

/// A file of four pages that the mm maps shared and has read.
Mm& file_mm(KernelBench& bench, AddressSpace*& file) {
    file = &bench.kernel.create_file("file", 4);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(4), *file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(4), KernelBench::kColdRead);
    return mm;
}

}  // namespace

TEST_CASE("try_to_unmap: swap-out with deferred flush has the canonical order", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    bench.watch(mm);
    const std::uint64_t gen = bench.tlb_gen(mm);
    Page& page = swap_candidate(bench, mm);
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.canonical_unmap_one() ==
          "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, DEFER, DEFER.writable, DIRTY, HIW, C(anon-1), "
          "C(swap+1), PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.END");
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
    CHECK(bench.tlb_gen(mm) == gen + 1);
    const FlushBatch& batch = bench.cpu().current->tlb_ubc;
    CHECK(batch.flush_required);
    CHECK(batch.writable);
    CHECK(batch.cpumask.word(0) == 0b10);
}

TEST_CASE("try_to_unmap: migration has the canonical order and never defers", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    bench.watch(mm);
    Page& page = bench.isolate(mm, 0);
    REQUIRE(bench.try_to_unmap(page, kMigrate));
    CHECK(bench.canonical_unmap_one() ==
          "MN.START, PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END");
    const Pte pte = bench.pte(mm, 0);
    CHECK(pte.migration_writable());
    CHECK(pte.migration_frame() == page.pfn());
}

TEST_CASE("try_to_unmap: a young page stays mapped and becomes old", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1}, {});
    bench.watch(mm);
    Page& page = swap_candidate(bench, mm);
    const Pte before = bench.pte(mm, 0);
    REQUIRE(before.young());
    CHECK_FALSE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.canonical_unmap_one() == "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END");
    CHECK(bench.pte(mm, 0) == before.without(Pte::kAccessed));
    CHECK(page.mapcount(bench.cpu()) == 1);
}

TEST_CASE("try_to_unmap: a page that only a secondary MMU accessed stays mapped", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    // A client of shared page tables: no sections, so it is not told before the young test.
    notifiers::RecordingClient::Config shared_tables;
    shared_tables.ops = {true, true, false, false, true};
    notifiers::RecordingClient device(shared_tables, bench.memory);
    bench.chain.register_client(mm.context.id, device);
    Page& page = swap_candidate(bench, mm);
    const auto sequence = device.sequence(bench.cpu(1), mm.context.id);
    device.record_access(bench.cpu(1), mm.context.id, bench.page(0), sequence);

    CHECK_FALSE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.canonical_unmap_one() == "MN.START, PTL+, A-clear, MN.CFY, PTL-, MN.END");
    CHECK(bench.pte(mm, 0).present());
    CHECK(bench.try_to_unmap(page, kReclaim));
}

TEST_CASE("try_to_unmap: without a count for the slot the entry is put back", "[unit][rmap]") {
    KernelBench::Config config;
    config.swap_max_map_count = 0;
    KernelBench bench(config);
    Mm& mm = bench.anon_mm(1, {0});
    bench.watch(mm);
    Page& page = swap_candidate(bench, mm);
    const Pte before = bench.pte(mm, 0);
    CHECK_FALSE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.canonical_unmap_one() ==
          "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(old), PTL-, MN.END");
    CHECK(bench.pte(mm, 0) == before);
    REQUIRE(page.generation > 0);
    CHECK(bench.kernel.read_pte(bench.cpu(), mm, bench.page(0))->generation == page.generation);
}

TEST_CASE("try_to_unmap: the section is opened even where nothing is mapped", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    // The child writes: its own copy is not reached through the page of the parent any more.
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kWrite));
    bench.run(1, parent);
    bench.watch(child);
    // A second child keeps the page mapped twice, so the walk does not stop at the parent.
    Mm& second = bench.kernel.fork(bench.cpu(), parent, "second");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    (void)second;
    Page& page = swap_candidate(bench, parent);
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.values(Event::kTryToUnmapOne, "mm") ==
          std::vector<std::uint64_t>{parent.context.id, child.context.id, second.context.id});
    CHECK(bench.order({Event::kMnStart, Event::kMnEnd}) == "mn_range_start mn_range_end");
    CHECK(bench.values(Event::kPageRemoveRmap, "mapcount") == std::vector<std::uint64_t>{1, 0});
}

TEST_CASE("try_to_unmap: migration skips the stack that exec still moves", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1),
                           VmFlags::kGrowsDown | VmFlags::kRandRead | VmFlags::kSeqRead);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1), KernelBench::kColdDirty);
    bench.run(0, mm);
    Page& page = swap_candidate(bench, mm);
    CHECK_FALSE(bench.try_to_unmap(page, kMigrate));
    CHECK(bench.trace().count(Event::kTryToUnmapOne) == 0);
    CHECK(bench.pte(mm, 0).present());
    // Reclaim does not care.
    CHECK(bench.try_to_unmap(page, kReclaim));
}

TEST_CASE("try_to_unmap: the return value tells whether the page is still mapped", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kRead));
    bench.run(1, parent);
    Page& page = swap_candidate(bench, parent);
    // The parent's entry goes, the child's is young.
    CHECK_FALSE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.pte(parent, 0).swap_type());
    CHECK(bench.pte(child, 0).present());
    CHECK(page.mapcount(bench.cpu()) == 1);
    // Now it is old.
    CHECK(bench.try_to_unmap(page, kReclaim));
    CHECK(page.mapcount(bench.cpu()) == 0);
}

TEST_CASE("try_to_unmap: counters of an mm change as its entries do", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {1});
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 3);

    Page& swapped = swap_candidate(bench, mm, 0);
    REQUIRE(bench.try_to_unmap(swapped, kReclaim));
    MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.rss_anon == 2);
    CHECK(status.vm_swap == 1);
    CHECK(status.vm_rss == 2);
    CHECK(status.vm_hwm == 3);

    Page& migrated = bench.isolate(mm, 1);
    REQUIRE(bench.try_to_unmap(migrated, kMigrate));
    status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.rss_anon == 2);  // a migration entry still counts as resident
    CHECK(status.vm_swap == 1);
    CHECK(bench.trace().count(Event::kMmCounter) == 0);
}

TEST_CASE("try_to_unmap: an mm on this CPU alone is flushed at once and one elsewhere is deferred",
          "[unit][rmap]") {
    KernelBench::Config config;
    config.cpus = 3;
    KernelBench bench(config);
    Mm& mm = bench.anon_mm(3, {0});
    REQUIRE(bench.try_to_unmap(swap_candidate(bench, mm, 0), kReclaim));
    CHECK(bench.trace().count(Event::kPtepClearFlush) == 1);
    CHECK(bench.trace().count(Event::kPteClearDefer) == 0);

    // A CPU that runs a kernel thread on the mm counts although it gets no interrupt.
    bench.run(2, mm);
    bench.flush.enter_lazy_tlb(bench.cpu(2));
    REQUIRE(bench.try_to_unmap(swap_candidate(bench, mm, 1), kReclaim));
    CHECK(bench.trace().count(Event::kPteClearDefer) == 1);

    // Without TTU_BATCH_FLUSH nothing is deferred.
    REQUIRE(bench.try_to_unmap(swap_candidate(bench, mm, 2), TtuFlags::kNone));
    CHECK(bench.trace().count(Event::kPtepClearFlush) == 1);
}

TEST_CASE("try_to_unmap: the cleared entry tells its generation and a swap entry has none",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = swap_candidate(bench, mm);
    const auto before = bench.kernel.read_pte(bench.cpu(), mm, bench.page(0));
    REQUIRE(before->generation == page.generation);
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.values(Event::kPteClearDefer, "generation") ==
          std::vector<std::uint64_t>{page.generation});
    const auto after = bench.kernel.read_pte(bench.cpu(), mm, bench.page(0));
    CHECK(pte_of(*after) == Pte::swap_entry(0, page.swap.offset));
    CHECK(after->generation == 0);
}

TEST_CASE("try_to_unmap: the entry is read and cleared by one locked operation", "[unit][rmap]") {
    KernelBench bench;
    AddressSpace* file = nullptr;
    Mm& mm = file_mm(bench, file);
    bench.run(1, mm);
    Page& page = bench.isolate(mm, 0);
    bench.machine.memory().accesses.clear();
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    const PhysAddr ptep{bench.values(Event::kPteClearDefer, "ptep").at(0)};
    std::string accesses;
    for (const auto& access : bench.machine.memory().accesses)
        if (access.address == ptep)
            accesses +=
                access.kind == mmusim::test::PlainWords::Access::Kind::kLoad ? "load " : "locked ";
    // The look without the lock, the look with it, the young test, the clear.
    CHECK(accesses == "load load load locked ");
}

TEST_CASE("try_to_unmap: an access between the unlocked look and the clear is not lost",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1}, KernelBench::kColdCleaned);
    bench.kernel.arrange(bench.cpu(), mm, bench.range(1), {});
    Page& page = bench.isolate(mm, 0);
    // Another CPU's walker sets the dirty bit after the entry was found clean.
    const auto slot = find_pte(bench.cpu(), bench.kernel.state(), mm, bench.page(0), Part::kUser);
    bench.trace().clear();
    bench.trace().at_next(Event::kPtlLock, 0,
                          [&] { pte_set_bits(bench.cpu(1), slot->ptep, Pte::kDirty); });
    REQUIRE(try_to_unmap(bench.cpu(), bench.kernel.state(), page, kMigrate));
    CHECK(bench.trace().count(Event::kSetPageDirty) == 1);
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
}
