// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using Kind = TlbOperation::Kind;
using Lines = std::vector<std::string>;

namespace {

std::vector<MmContext> contexts(FlushBench& bench, unsigned count) {
    std::vector<MmContext> result;
    for (unsigned i = 0; i < count; ++i)
        result.push_back(bench.machine.make_context(FlushBench::kMm + 1 + i, {0x800 + i}));
    return result;
}

TlbOperation switch_to(FlushBench& bench, const MmContext& mm) {
    bench.flush.switch_mm(bench.cpu(0), &mm);
    return bench.machine.tlb(0).operations.back();
}

}  // namespace

TEST_CASE("switch_mm: a new mm gets the next slot and its PCID", "[unit][flush]") {
    FlushBench bench(1);
    // Slot 0 is init_mm's, and PCID 0 is nobody's.
    unsigned asid = 1;
    for (const MmContext& mm : contexts(bench, kTlbNrDynAsids - 1)) {
        const TlbOperation cr3 = switch_to(bench, mm);
        CHECK(cr3.kind == Kind::kCr3Write);
        CHECK(cr3.pcid == asid + 1);
        CHECK(cr3.root == address_of(mm.pgd));
        CHECK(bench.flush.cpu_tlbstate(0).loaded_mm_asid == asid);
        ++asid;
    }
}

TEST_CASE("switch_mm: the seventh context takes the oldest slot", "[unit][flush]") {
    FlushBench bench(1);
    const auto mms = contexts(bench, kTlbNrDynAsids + 1);
    for (unsigned i = 0; i < kTlbNrDynAsids - 1; ++i) switch_to(bench, mms[i]);

    const MmContext& seventh = mms[kTlbNrDynAsids - 1];  // init_mm was the first
    CHECK(switch_to(bench, seventh).pcid == 1);
    CHECK(bench.flush.cpu_tlbstate(0).ctxs[0].ctx_id == seventh.id);
    CHECK(switch_to(bench, mms[kTlbNrDynAsids]).pcid == 2);
    // The first mm lost slot 1 to the one before; the second still has its own.
    CHECK(switch_to(bench, mms[1]).kind == Kind::kCr3WriteNoFlush);
    CHECK(switch_to(bench, mms[0]).kind == Kind::kCr3Write);
}

TEST_CASE("switch_mm: switching back to a current mm keeps its entries", "[unit][flush]") {
    FlushBench bench(1);
    const auto mms = contexts(bench, 2);
    const Pcid first = switch_to(bench, mms[0]).pcid;
    switch_to(bench, mms[1]);
    bench.forget();
    const TlbOperation back = switch_to(bench, mms[0]);
    CHECK(back.kind == Kind::kCr3WriteNoFlush);
    CHECK(back.pcid == first);
    CHECK(bench.trace().lines({"prev", "next", "flush", "reason", "pages"}) ==
          Lines{"switch_mm_irqs_off prev=" + std::to_string(mms[1].id) +
                    " next=" + std::to_string(mms[0].id) + " flush=0",
                "tlb_flush reason=task_switch pages=0"});
}

TEST_CASE("switch_mm: switching back to an mm that was flushed elsewhere flushes",
          "[unit][flush]") {
    FlushBench bench(2);
    const auto other = contexts(bench, 1);
    bench.load({0, 1});
    bench.flush.switch_mm(bench.cpu(0), &other[0]);
    bench.forget();
    bench.flush_range(1, FlushBench::range(1));
    CHECK(bench.machine.interrupts(1).sent.empty());

    CHECK(switch_to(bench, bench.mm).kind == Kind::kCr3Write);
    CHECK(bench.tlb_flushes(0) == Lines{"reason=task_switch pages=-1"});
    CHECK(bench.flush.cpu_tlbstate(0).ctxs[1].tlb_gen == bench.tlb_gen());
}

TEST_CASE("switch_mm: without PCIDs every switch flushes context 0", "[unit][flush]") {
    X86FlushConfig config;
    config.pcid = PcidMode::kOff;
    FlushBench bench(1, config);
    const auto mms = contexts(bench, 2);
    for (const unsigned i : {0u, 1u, 0u}) {
        const TlbOperation cr3 = switch_to(bench, mms[i]);
        CHECK(cr3.kind == Kind::kCr3Write);
        CHECK(cr3.pcid == 0);
    }
}

TEST_CASE("switch_mm: another thread of the same process changes nothing", "[unit][flush]") {
    FlushBench bench(1);
    bench.load({0});
    bench.flush.switch_mm(bench.cpu(0), &bench.mm);
    CHECK(bench.machine.tlb(0).operations.empty());
    CHECK(bench.trace().records().empty());
}

TEST_CASE("switch_mm: the CPU is in the mask of the mm that it has loaded only", "[unit][flush]") {
    const CpuId high = 70;  // in the second word
    FlushBench bench(high + 1);
    const auto other = contexts(bench, 1);
    bench.load({3, high});
    CHECK(bench.machine.cpumask(bench.mm).test(3));
    CHECK(bench.machine.cpumask(bench.mm).test(high));
    CHECK(bench.machine.cpumask(bench.mm).count() == 2);

    bench.flush.switch_mm(bench.cpu(high), &other[0]);
    CHECK_FALSE(bench.machine.cpumask(bench.mm).test(high));
    CHECK(bench.machine.cpumask(other[0]).test(high));

    bench.flush.switch_mm(bench.cpu(high), nullptr);
    CHECK(bench.machine.cpumask(other[0]).empty());
    CHECK(bench.flush.cpu_tlbstate(high).loaded_mm.id == kInitMm);
}

TEST_CASE("switch_mm: init_mm has a root of its own and is never behind", "[unit][flush]") {
    X86FlushConfig config;
    config.init_pgd = {0x42};
    FlushBench bench(1, config);
    bench.load({0});
    bench.flush.switch_mm(bench.cpu(0), nullptr);
    const TlbOperation cr3 = bench.machine.tlb(0).operations.back();
    CHECK(cr3.kind == Kind::kCr3WriteNoFlush);
    CHECK(cr3.pcid == 1);
    CHECK(cr3.root == address_of(config.init_pgd));
}

TEST_CASE("switch_mm: the mask is visible to all before the generation is read", "[unit][flush]") {
    FlushBench bench(1);
    bench.flush.switch_mm(bench.cpu(0), &bench.mm);
    CHECK(bench.ordered(bench.mm.cpumask, bench.mm.tlb_gen));
}

TEST_CASE("lazy TLB: its end is visible to all before the generation is read", "[unit][flush]") {
    FlushBench bench(1);
    bench.load({0});
    bench.make_lazy(0);
    bench.flush.switch_mm(bench.cpu(0), &bench.mm);
    CHECK(bench.ordered(bench.flush.cpu_tlbstate(0).is_lazy_word, bench.mm.tlb_gen));
}

TEST_CASE("switch_mm: its time is a switch's", "[unit][flush]") {
    FlushBench bench(1);
    const auto& time = bench.machine.time(0);
    bench.flush.switch_mm(bench.cpu(0), &bench.mm);
    CHECK(time.charged()[Part::kSwitch] == time.charged().sum());
    CHECK(time.charged().sum() == time.local_now() - Instant{});
}

TEST_CASE("lazy TLB: no interrupt for a range and the CPU catches up when it comes back",
          "[unit][flush]") {
    FlushBench bench(3);
    bench.load({0, 1, 2});
    bench.make_lazy(2);
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.calls.received(1) == 1);
    CHECK(bench.calls.received(2) == 0);
    CHECK(bench.machine.cpumask(bench.mm).test(2));

    bench.flush.switch_mm(bench.cpu(2), &bench.mm);
    CHECK(bench.count(2, Kind::kCr3Write) == 1);
    CHECK(bench.tlb_flushes(2) == Lines{"reason=task_switch pages=-1"});
    CHECK(bench.flush.cpu_tlbstate(2).ctxs[1].tlb_gen == bench.tlb_gen());
    // From now on it is interrupted again.
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.calls.received(2) == 1);
}

TEST_CASE("lazy TLB: coming back to an unchanged mm touches no TLB", "[unit][flush]") {
    FlushBench bench(1);
    bench.load({0});
    bench.make_lazy(0);
    bench.flush.switch_mm(bench.cpu(0), &bench.mm);
    CHECK(bench.machine.tlb(0).operations.empty());
}

TEST_CASE("lazy TLB: freed page tables reach a lazy CPU which then leaves the mm",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.make_lazy(1);
    bench.flush.flush_tlb_mm_range(bench.cpu(0), bench.mm, FlushBench::range(1), kPageShift, true);

    CHECK(bench.calls.received(1) == 1);
    CHECK_FALSE(bench.machine.cpumask(bench.mm).test(1));
    CHECK(bench.flush.cpu_tlbstate(1).loaded_mm.id == kInitMm);
    CHECK_FALSE(bench.flush.cpu_tlbstate(1).is_lazy);
    CHECK(bench.machine.memory()[bench.flush.cpu_tlbstate(1).is_lazy_word].value == 0);
    CHECK(bench.trace().count(Event::kTlbIsNotLazy) == 0);
    CHECK(bench.tlb_flushes(1) == Lines{"reason=task_switch pages=0"});
}

TEST_CASE("lazy TLB: a CPU on init_mm is never lazy", "[unit][flush]") {
    FlushBench bench(1);
    bench.flush.enter_lazy_tlb(bench.cpu(0));
    CHECK_FALSE(bench.flush.cpu_tlbstate(0).is_lazy);
    CHECK(bench.machine.time(0).local_now() == Instant{});
}

TEST_CASE("lazy TLB: the initiator's second turn is skipped when it is lazy itself",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.make_lazy(0);
    bench.flush_range(0, FlushBench::range(1));
    // Its own turn took it to init_mm and out of the mask.
    CHECK_FALSE(bench.machine.cpumask(bench.mm).test(0));
    CHECK(bench.flush.stats(0).flush_remote == 0);
    CHECK(bench.flush.stats(1).flush_partial == 1);
}
