// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using Kind = TlbOperation::Kind;
using Lines = std::vector<std::string>;

TEST_CASE("tlb_gen: ranges that arrive in reverse order are one full flush and one nothing",
          "[unit][flush]") {
    // CPUs 0 and 2 flush an mm that only CPU 1 has loaded; CPU 2 overtakes CPU 0.
    FlushBench bench(3);
    bench.load({1});
    bench.trace().at_next(Event::kTlbGenInc, 0, [&] {
        bench.flush_range(2,
                          {FlushBench::kAddress + kPageSize, FlushBench::kAddress + 2 * kPageSize});
    });
    bench.flush_range(0, FlushBench::range(1));

    CHECK(bench.tlb_flushes(1) ==
          Lines{"reason=remote_shootdown pages=-1", "reason=remote_shootdown pages=0"});
    CHECK(bench.count(1, Kind::kInvlpg) == 0);
    CHECK(bench.count(1, Kind::kCr3Write) == 1);
}

TEST_CASE("tlb_gen: ranges that arrive in order are two partial flushes", "[unit][flush]") {
    FlushBench bench(3);
    bench.load({1});
    bench.flush_range(0, FlushBench::range(1));
    bench.flush_range(2, FlushBench::range(1));
    CHECK(bench.count(1, Kind::kInvlpg) == 2);
    CHECK(bench.count(1, Kind::kCr3Write) == 0);
}

TEST_CASE("tlb_gen: a range that would not make the CPU current becomes a full flush",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({1});
    bench.trace().at_next(Event::kTlbGenInc, 0, [&] { bench.set_tlb_gen(bench.tlb_gen() + 1); });
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.count(1, Kind::kCr3Write) == 1);
    CHECK(bench.flush.cpu_tlbstate(1).ctxs[1].tlb_gen == bench.tlb_gen());
}

TEST_CASE("tlb_gen: a CPU that missed a generation flushes everything at the next range",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({1});
    bench.set_tlb_gen(1);
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.tlb_flushes(1) == Lines{"reason=remote_shootdown pages=-1"});
}

TEST_CASE("tlb_gen: the initiator's second turn on itself does nothing but is counted",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.tlb_flushes(0) == Lines{"reason=local_mm_shootdown pages=1",
                                        "reason=remote_send_ipi pages=1",
                                        "reason=remote_shootdown pages=0"});
    CHECK(bench.flush.stats(0).flush_local == 1);
    CHECK(bench.flush.stats(0).flush_remote == 1);
    CHECK(bench.calls.received(0) == 0);
}

TEST_CASE("tlb_gen: the initiator's second turn catches up with a flush raised meanwhile",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.trace().at_next(Event::kFlushTlbOthers, 0,
                          [&] { bench.set_tlb_gen(bench.tlb_gen() + 1); });
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.tlb_flushes(0).back() == "reason=remote_shootdown pages=-1");
    CHECK(bench.flush.stats(0).flush_full == 1);
}

TEST_CASE("tlb_gen: a CPU that has another mm loaded ignores the request", "[unit][flush]") {
    FlushBench bench(2);
    const MmContext other = bench.machine.make_context(FlushBench::kMm + 1, {0x800});
    bench.load({1});
    bench.trace().at_next(Event::kCpumaskRead, 0,
                          [&] { bench.flush.switch_mm(bench.cpu(1), &other); });
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.calls.received(1) == 1);
    CHECK(bench.flush.stats(1).flush_remote == 0);
    CHECK(bench.trace().count(Event::kFlushTlbFunc) == 0);
}

TEST_CASE("tlb_gen: a request for the future breaks an invariant", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({1});
    bench.set_tlb_gen(5);
    bench.trace().at_next(Event::kTlbGenInc, 0, [&] { bench.set_tlb_gen(4); });
    CHECK_THROWS_AS(bench.flush_range(0, FlushBench::range(1)), InvariantError);
}
