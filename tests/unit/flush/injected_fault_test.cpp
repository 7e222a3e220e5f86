// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using Kind = TlbOperation::Kind;

namespace {

X86FlushConfig with(InjectedFault fault) {
    X86FlushConfig config;
    config.fault = fault;
    return config;
}

}  // namespace

TEST_CASE("drop-ipi-target: the highest remote CPU is neither interrupted nor awaited",
          "[unit][flush]") {
    FlushBench bench(4, with(InjectedFault::kDropIpiTarget));
    bench.load({0, 1, 2, 3});
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.calls.received(1) == 1);
    CHECK(bench.calls.received(2) == 1);
    CHECK(bench.machine.tlb(3).operations.empty());
    CHECK(bench.trace().names().back() == "flush_tlb_mm_range_ret");
}

TEST_CASE("drop-ipi-target: the initiator is not a target even if it is the highest CPU",
          "[unit][flush]") {
    FlushBench bench(3, with(InjectedFault::kDropIpiTarget));
    bench.load({0, 1, 2});
    bench.flush_range(2, FlushBench::range(1));
    CHECK(bench.calls.received(0) == 1);
    CHECK(bench.calls.received(1) == 0);
    CHECK(bench.flush.stats(2).flush_remote == 1);  // its own second turn stays
}

TEST_CASE("drop-ipi-target: a single target leaves nobody to interrupt", "[unit][flush]") {
    FlushBench bench(2, with(InjectedFault::kDropIpiTarget));
    bench.load({0, 1});
    FlushBatch batch;
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    bench.flush.batch_flush(bench.cpu(0), batch);
    CHECK(bench.machine.interrupts(0).sent.empty());
    CHECK(bench.machine.tlb(1).operations.empty());
}

TEST_CASE("shrink-range: the last page of a range stays", "[unit][flush]") {
    FlushBench bench(2, with(InjectedFault::kShrinkRange));
    bench.load({0, 1});
    bench.flush_range(0, FlushBench::range(3));
    const std::uint64_t a = FlushBench::kAddress.value;
    for (const CpuId id : {0, 1})
        CHECK(bench.invlpg_addresses(id) == std::vector<std::uint64_t>{a, a + kPageSize});
}

TEST_CASE("shrink-range: a single page becomes its neighbour", "[unit][flush]") {
    FlushBench bench(1, with(InjectedFault::kShrinkRange));
    bench.load({0});
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.invlpg_addresses(0) ==
          std::vector<std::uint64_t>{FlushBench::kAddress.value + kPageSize});
}

TEST_CASE("shrink-range: a full flush stays full", "[unit][flush]") {
    FlushBench bench(1, with(InjectedFault::kShrinkRange));
    bench.load({0});
    bench.flush.flush_tlb_mm(bench.cpu(0), bench.mm);
    CHECK(bench.count(0, Kind::kCr3Write) == 1);
}

TEST_CASE("ack-before-handler: the initiator goes on before the target has invalidated",
          "[unit][flush]") {
    FlushBench bench(2, with(InjectedFault::kAckBeforeHandler));
    bench.load({0, 1});
    Accountant& account = bench.machine.account(0);
    const auto id = account.begin(OperationKind::kMunmap, bench.cpu(0).now());
    bench.flush_range(0, FlushBench::range(1));
    account.end(id, bench.cpu(0).now(), Outcome::kDone);

    const auto names = bench.trace().names(1);
    const auto ack = std::find(names.begin(), names.end(), "call_function_ack");
    CHECK(std::find(ack, names.end(), "tlb_invalidated") != names.end());
    CHECK(bench.count(1, Kind::kInvlpg) == 1);
    // What is left of the handler's time is the way to the queue.
    CHECK(account.finished().back().parts[Part::kHandler] ==
          bench.machine.costs().interrupt_entry + bench.machine.plain_costs().memory_access);
    CHECK(bench.trace().first(Event::kCallFunctionAck).time <
          bench.trace().find(Event::kTlbInvalidated).back().time);
}
