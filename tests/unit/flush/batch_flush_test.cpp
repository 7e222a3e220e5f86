// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using Kind = TlbOperation::Kind;
using Lines = std::vector<std::string>;

TEST_CASE("should_defer_flush: a lazy CPU counts as another CPU", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0});
    CHECK_FALSE(bench.flush.other_cpu_in_cpumask(bench.cpu(0), bench.mm));
    CHECK(bench.flush.other_cpu_in_cpumask(bench.cpu(1), bench.mm));
    bench.load({1});
    bench.make_lazy(1);
    CHECK(bench.flush.other_cpu_in_cpumask(bench.cpu(0), bench.mm));
    CHECK(bench.trace().records().empty());
}

TEST_CASE("batch: adding an mm raises its generation and then notes its CPUs", "[unit][flush]") {
    FlushBench bench(3);
    bench.load({1});
    FlushBatch batch;
    // A CPU that joins right after the generation was raised is noted as well.
    bench.trace().at_next(Event::kUbcTlbGenInc, 0,
                          [&] { bench.flush.switch_mm(bench.cpu(2), &bench.mm); });
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    CHECK(bench.tlb_gen() == 1);
    CHECK(batch.cpumask.count() == 2);
    CHECK(bench.ordered(bench.mm.tlb_gen, bench.mm.cpumask));
    CHECK(bench.machine.interrupts(0).sent.empty());
    CHECK(bench.machine.time(0).charged()[Part::kFlushPrepare] ==
          bench.machine.time(0).charged().sum());
}

TEST_CASE("batch: two mms are one round to the union of their CPUs", "[unit][flush]") {
    FlushBench bench(3);
    const MmContext other = bench.machine.make_context(FlushBench::kMm + 1, {0x800});
    bench.load({1});
    bench.flush.switch_mm(bench.cpu(2), &other);
    bench.forget();

    FlushBatch batch;
    for (const MmContext& mm : {bench.mm, other, bench.mm})
        bench.flush.batch_add_mm(bench.cpu(0), batch, mm);
    bench.flush.batch_flush(bench.cpu(0), batch);

    REQUIRE(bench.machine.interrupts(0).sent.size() == 1);
    CHECK(bench.machine.interrupts(0).sent[0].targets.count() == 2);
    CHECK(bench.flush.stats(0).flush_batch == 1);
    CHECK(bench.flush.stats(0).flush_rounds == 1);
    for (const CpuId id : {1, 2})
        CHECK(bench.tlb_flushes(id) == Lines{"reason=remote_shootdown pages=-1"});
    CHECK(batch.cpumask.empty());
}

TEST_CASE("batch: a CPU that left the mm is caught up when it loads it again", "[unit][flush]") {
    FlushBench bench(2);
    const MmContext other = bench.machine.make_context(FlushBench::kMm + 1, {0x800});
    bench.load({1});
    FlushBatch batch;
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    bench.flush.switch_mm(bench.cpu(1), &other);
    bench.forget();

    bench.flush.batch_flush(bench.cpu(0), batch);
    // It is interrupted, and current with what it runs now.
    CHECK(bench.tlb_flushes(1) == Lines{"reason=remote_shootdown pages=0"});
    bench.flush.switch_mm(bench.cpu(1), &bench.mm);
    CHECK(bench.machine.tlb(1).operations.back().kind == Kind::kCr3Write);
    CHECK(bench.flush.cpu_tlbstate(1).loaded_mm.id == bench.mm.id);
}

TEST_CASE("batch: this CPU flushes itself first when it is in the mask", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    FlushBatch batch;
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    bench.flush.batch_flush(bench.cpu(0), batch);
    CHECK(bench.tlb_flushes(0) == Lines{"reason=local_shootdown pages=-1",
                                        "reason=remote_send_ipi pages=-1",
                                        "reason=remote_shootdown pages=0"});
    CHECK(bench.tlb_flushes(1) == Lines{"reason=remote_shootdown pages=-1"});
}

TEST_CASE("batch: a reclaimer that is lazy on the mm leaves it instead of flushing",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.make_lazy(0);
    FlushBatch batch;
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    bench.flush.batch_flush(bench.cpu(0), batch);
    CHECK(bench.flush.cpu_tlbstate(0).loaded_mm.id == kInitMm);
    CHECK_FALSE(bench.machine.cpumask(bench.mm).test(0));
    CHECK(bench.machine.time(0).charged()[Part::kFlushLocal] >
          bench.machine.plain_costs().tlb_operation);
}

TEST_CASE("batch: lazy CPUs get no interrupt", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({1});
    bench.make_lazy(1);
    FlushBatch batch;
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    bench.flush.batch_flush(bench.cpu(0), batch);
    CHECK(bench.machine.interrupts(0).sent.empty());
    CHECK(bench.trace().count(Event::kFlushTlbOthers) == 1);
    CHECK(bench.flush.stats(0).flush_rounds == 0);
}
