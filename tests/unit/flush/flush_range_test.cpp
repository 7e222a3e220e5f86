// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using Kind = TlbOperation::Kind;
using Lines = std::vector<std::string>;

namespace {

constexpr unsigned kPmdShift = 21;

}  // namespace

TEST_CASE("flush_tlb_mm_range: up to the ceiling single entries go and above it everything",
          "[unit][flush]") {
    X86FlushConfig config;
    config.single_page_flush_ceiling = GENERATE(0u, 1u, 33u);
    const std::uint64_t ceiling = config.single_page_flush_ceiling;
    FlushBench bench(2, config);
    bench.load({0, 1});

    bench.flush_range(0, FlushBench::range(ceiling + 1));
    for (const CpuId id : {0, 1}) {
        CHECK(bench.count(id, Kind::kInvlpg) == 0);
        CHECK(bench.count(id, Kind::kCr3Write) == 1);
        CHECK(bench.flush.stats(id).flush_full == 1);
    }
    if (ceiling == 0) return;

    bench.forget();
    bench.flush_range(0, FlushBench::range(ceiling));
    for (const CpuId id : {0, 1}) {
        CHECK(bench.count(id, Kind::kInvlpg) == ceiling);
        CHECK(bench.count(id, Kind::kCr3Write) == 0);
        CHECK(bench.flush.stats(id).flush_partial == 1);
    }
    CHECK(bench.flush.stats(0).flush_rounds == 2);
    CHECK(bench.flush.stats(1).flush_rounds == 0);
}

TEST_CASE("flush_tlb_mm_range: a partial flush invalidates each page of the range once",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.flush_range(0, FlushBench::range(3));
    const std::uint64_t a = FlushBench::kAddress.value;
    const std::vector<std::uint64_t> pages{a, a + kPageSize, a + 2 * kPageSize};
    CHECK(bench.invlpg_addresses(0) == pages);
    CHECK(bench.invlpg_addresses(1) == pages);
}

TEST_CASE("flush_tlb_mm_range: the stride is the unit of the ceiling and of the instructions",
          "[unit][flush]") {
    FlushBench bench(1);
    bench.load({0});
    bench.flush_range(0, FlushBench::range(2, kPmdShift), kPmdShift);
    const std::uint64_t a = FlushBench::kAddress.value;
    CHECK(bench.invlpg_addresses(0) ==
          std::vector<std::uint64_t>{a, a + (std::uint64_t{1} << kPmdShift)});
    CHECK(bench.tlb_flushes(0) == Lines{"reason=local_mm_shootdown pages=2"});

    // flush_tlb_range() of a huge page counts it in small ones: 512 of them are too many.
    bench.forget();
    bench.flush_range(0, FlushBench::range(1, kPmdShift), kPageShift);
    CHECK(bench.count(0, Kind::kCr3Write) == 1);
}

TEST_CASE("flush_tlb_mm_range: a started unit is invalidated but reported as none",
          "[unit][flush]") {
    FlushBench bench(1);
    bench.load({0});
    bench.flush_range(0, FlushBench::range(1), kPmdShift);
    CHECK(bench.count(0, Kind::kInvlpg) == 1);
    CHECK(bench.tlb_flushes(0) == Lines{"reason=local_mm_shootdown pages=0"});
}

TEST_CASE("flush_tlb_mm_range: the send event counts small pages whatever the stride",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({1});
    const std::uint64_t units = 2;
    bench.flush_range(0, FlushBench::range(units, kPmdShift), kPmdShift);
    const std::uint64_t small_pages = units << (kPmdShift - kPageShift);
    CHECK(bench.tlb_flushes(0) ==
          Lines{"reason=remote_send_ipi pages=" + std::to_string(small_pages)});
    CHECK(bench.tlb_flushes(1) == Lines{"reason=remote_shootdown pages=" + std::to_string(units)});
}

TEST_CASE("flush_tlb_mm_range: CPUs beyond the first word of the mask are reached",
          "[unit][flush]") {
    const CpuId high = 130;
    FlushBench bench(high + 1);
    bench.load({1, 64, high});
    bench.flush_range(0, FlushBench::range(1));
    for (const CpuId id : {CpuId{1}, CpuId{64}, high}) CHECK(bench.count(id, Kind::kInvlpg) == 1);
    CHECK(bench.flush.stats(0).ipi_sent == 3);
}

TEST_CASE("flush_tlb_mm_range: with an empty cpumask only the generation moves", "[unit][flush]") {
    FlushBench bench(2);
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.tlb_gen() == 1);
    CHECK(bench.machine.tlb(0).operations.empty());
    CHECK(bench.machine.interrupts(0).sent.empty());
    CHECK(bench.trace().names() ==
          Lines{"flush_tlb_mm_range", "tlb_gen_inc", "mm_cpumask_read", "flush_tlb_mm_range_ret"});
}

TEST_CASE("flush_tlb_mm_range: a mask of this CPU alone needs no interrupt", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0});
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.count(0, Kind::kInvlpg) == 1);
    CHECK(bench.trace().count(Event::kFlushTlbOthers) == 0);
    CHECK(bench.flush.stats(0).ipi_sent == 0);
}

TEST_CASE("flush_tlb_mm_range: tlb_gen is visible to all before the cpumask is read",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({1});
    SECTION("by a CPU that runs the mm") { bench.load({0}); }
    SECTION("by a CPU that does not") {}
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.ordered(bench.mm.tlb_gen, bench.mm.cpumask));
}

TEST_CASE("flush_tlb_mm_range: a CPU that joins during the local flush is interrupted",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0});
    bench.machine.tlb(0).on_execute = [&](const TlbOperation&) {
        bench.machine.tlb(0).on_execute = nullptr;
        bench.flush.switch_mm(bench.cpu(1), &bench.mm);
    };
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.calls.received(1) == 1);
    // It read the new generation when it loaded the mm, so there is nothing left to do.
    CHECK(bench.tlb_flushes(1) ==
          Lines{"reason=task_switch pages=-1", "reason=remote_shootdown pages=0"});
}

TEST_CASE("flush_tlb_mm: everything goes and page tables count as freed", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.flush.flush_tlb_mm(bench.cpu(0), bench.mm);
    CHECK(bench.count(0, Kind::kCr3Write) == 1);
    CHECK(bench.count(1, Kind::kCr3Write) == 1);
    CHECK(bench.trace().count(Event::kTlbIsNotLazy) == 0);
}

TEST_CASE("flush_tlb_mm_range: a full flush reloads CR3 with the same root and context",
          "[unit][flush]") {
    FlushBench bench(1);
    bench.flush.switch_mm(bench.cpu(0), &bench.mm);
    const TlbOperation loaded = bench.machine.tlb(0).operations.back();
    bench.flush.flush_tlb_mm(bench.cpu(0), bench.mm);
    const TlbOperation flushed = bench.machine.tlb(0).operations.back();
    CHECK(flushed.kind == Kind::kCr3Write);
    CHECK(flushed.pcid == loaded.pcid);
    CHECK(flushed.root == loaded.root);
    CHECK(flushed.root == address_of(bench.mm.pgd));
}

TEST_CASE("flush_tlb_mm_range: what was invalidated is reported with the generation reached",
          "[unit][flush]") {
    FlushBench bench(1);
    bench.load({0});
    const VirtRange two_pages = FlushBench::range(2);
    bench.flush_range(0, two_pages);
    const EventRecord done = bench.trace().first(Event::kTlbInvalidated);
    CHECK(done.arguments ==
          EventArguments{bench.mm.id, two_pages.start.value, two_pages.end.value, bench.tlb_gen()});
    CHECK(bench.flush.cpu_tlbstate(0).ctxs[1].tlb_gen == bench.tlb_gen());
}

TEST_CASE("flush_tlb_mm_range: the local flush runs with interrupts off and the wait with them on",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    const auto& time = bench.machine.time(0);
    Interrupts at_invalidation = Interrupts::kOn;
    Interrupts at_send = Interrupts::kOff;
    bench.trace().at_next(Event::kTlbInvalidated, 0, [&] {
        at_invalidation = time.interrupts();
        bench.trace().at_next(Event::kIpiSend, 0, [&] { at_send = time.interrupts(); });
    });
    bench.flush_range(0, FlushBench::range(1));
    CHECK(at_invalidation == Interrupts::kOff);
    CHECK(at_send == Interrupts::kOn);
    CHECK(time.interrupts() == Interrupts::kOn);
}
