// SPDX-License-Identifier: Apache-2.0
// Hazards that the kernel engine itself gets into: it runs on plain ports, two CPUs meet where it
// matters, and the monitors judge what it emits.
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz12_pinned_lazyfree.hpp"
#include "platform/oracle/hazards/hz13_missed_mapping.hpp"
#include "platform/oracle/hazards/hz16_empty_invalidation.hpp"
#include "platform/oracle/hazards/hz2_lost_mapping.hpp"
#include "platform/oracle/hazards/hz9_forgotten_flush.hpp"
#include "rmap/unmap/try_to_unmap.hpp"
#include "rmap/unmap/unmap_flush.hpp"
#include "tests/support/hazard_judge.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

namespace mmusim::platform {
namespace {

using namespace rmap;
using test::KernelBench;
using test::occurrences;

/// A page that reclaim has isolated, locked and entered into the swap cache.
Page& isolate_for_swap(KernelBench& bench, Mm& mm, std::uint64_t index) {
    Page& page = bench.isolate(mm, index);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    return page;
}

/// CPU 0 goes on where CPU 1 is, as if they ran side by side.
void catch_up(KernelBench& bench) { bench.machine.time(0).idle_until(bench.cpu(1).now()); }

bool unmap(KernelBench& bench, Page& page) {
    return try_to_unmap(bench.cpu(), bench.kernel.state(), page, TtuFlags::kBatchFlush);
}

TEST_CASE("engine: hazard HZ2 is what becomes of a page without a place in swap",
          "[unit][oracle]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    CHECK_FALSE(unmap(bench, bench.isolate(mm, 0)));
    CHECK(occurrences<LostMappingMonitor>(bench.trace()).count() == 1);
    CHECK(unmap(bench, isolate_for_swap(bench, mm, 1)));
    CHECK(occurrences<LostMappingMonitor>(bench.trace()).count() == 1);
}

/// CPU 0 defers a flush; CPU 1 unmaps memory of another page table, and right behind its flush or
/// before it CPU 0 defers a second one. Then CPU 1 unmaps that page, too.
Occurrences defer_while_pending_is_flushed(Event when) {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    const VirtRange other_table = bench.range(1, kLargePages);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(kLargePages + 1));
    bench.kernel.populate(bench.cpu(), mm, bench.range(2), KernelBench::kColdCleaned);
    bench.kernel.populate(bench.cpu(), mm, other_table, KernelBench::kColdCleaned);
    bench.run(1, mm);
    Page& first = isolate_for_swap(bench, mm, 0);
    Page& second = isolate_for_swap(bench, mm, 1);
    bench.trace().clear();

    REQUIRE(unmap(bench, first));
    bench.machine.time(1).idle_until(bench.cpu(0).now());
    bool deferred = false;
    bench.trace().at_next(when, 1, [&] {
        catch_up(bench);
        deferred = unmap(bench, second);
        bench.machine.time(1).idle_until(bench.cpu(0).now());
    });
    bench.kernel.munmap(bench.cpu(1), mm, other_table);
    REQUIRE(deferred);
    CHECK(bench.cpu().current->tlb_ubc.flush_required);
    bench.kernel.munmap(bench.cpu(1), mm, bench.range(2));
    return occurrences<ForgottenFlushMonitor>(bench.trace());
}

TEST_CASE("engine: hazard HZ9 is a flush deferred while another CPU serves those before it",
          "[unit][oracle]") {
    CHECK(defer_while_pending_is_flushed(Event::kFlushTlbMmRangeRet).count() == 1);
    CHECK(defer_while_pending_is_flushed(Event::kMmapSemLock).count() == 0);
}

/// Direct I/O takes a reference to a page that MADV_FREE has given away, or to no page.
Occurrences reclaim_lazyfree(Access access, bool pinned) {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    bench.kernel.madvise(bench.cpu(1), mm, bench.range(1), Madvise::kFree);
    bench.drain();
    std::optional<UserPage> pin;
    if (pinned) {
        pin = bench.kernel.get_user_page(bench.cpu(1), mm.context.id, bench.page(0), access);
        REQUIRE(pin);
        REQUIRE(pin->writable);
    }
    bench.trace().clear();
    bench.kernel.reclaim_pages(bench.cpu(), {});
    CHECK(bench.pte(mm, 0).none());
    CHECK(bench.trace().count(Event::kPageFree) == (pinned ? 0u : 1u));
    return occurrences<PinnedLazyfreeMonitor>(bench.trace());
}

TEST_CASE("engine: hazard HZ12 is a lazyfree page that is read into and reclaimed",
          "[unit][oracle]") {
    const auto found = reclaim_lazyfree(Access::kWrite, true);
    REQUIRE(found.count() == 1);
    CHECK(found.first().window > Duration{});
    CHECK(reclaim_lazyfree(Access::kWrite, false).count() == 0);
}

/// CPU 1 unmaps the page; at one point of that CPU 0 tries to unmap it for reclaim.
Occurrences try_while_zapped(Event when, bool unmapped) {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Page& page = isolate_for_swap(bench, mm, 0);
    bench.machine.time(1).idle_until(bench.cpu(0).now());
    bench.trace().at_next(when, 1, [&] {
        catch_up(bench);
        CHECK(unmap(bench, page) == unmapped);
        bench.machine.time(1).idle_until(bench.cpu(0).now());
    });
    bench.kernel.munmap(bench.cpu(1), mm, bench.range(1));
    CHECK(page.mapcount(bench.cpu()) == 0);
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    return occurrences<MissedMappingMonitor>(bench.trace(), Vocabulary::kSimulation);
}

TEST_CASE("engine: hazard HZ13 is a page that is unmapped while its mapping is being removed",
          "[unit][oracle]") {
    const auto found = try_while_zapped(Event::kPteClear, false);
    REQUIRE(found.count() == 1);
    CHECK(found.first().window > Duration{});
    CHECK(try_while_zapped(Event::kMmapSemLock, true).count() == 0);
    CHECK(try_while_zapped(Event::kPageRemoveRmap, true).count() == 0);
}

TEST_CASE("engine: hazard HZ16 ends the gather of a whole mm", "[unit][oracle]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    bench.watch(mm);
    bench.kernel.clear_refs(bench.cpu(), mm, ClearRefs::kAll);
    CHECK(occurrences<EmptyInvalidationMonitor>(bench.trace()).count() == 1);
    bench.trace().clear();
    bench.kernel.madvise(bench.cpu(1), mm, bench.range(1), Madvise::kDontneed);
    CHECK(occurrences<EmptyInvalidationMonitor>(bench.trace()).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
