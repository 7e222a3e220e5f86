// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using mmusim::test::PlainTime;
using Lines = std::vector<std::string>;
using Report = Acknowledgements::Report;

namespace {

constexpr Instant at_ns(std::uint64_t ns) { return {nanoseconds(ns).ps}; }

/// What a wait from 0 on is charged to.
PartTimes stages_of(const std::vector<Report>& reports) {
    Accountant account(0);
    PlainTime time(0, account, nanoseconds(1));
    Acknowledgements acknowledgements(time, static_cast<unsigned>(reports.size()), CallParts{});
    for (const Report& report : reports) acknowledgements.report(report);
    time.await(acknowledgements.all(), Part::kAck);
    return time.charged();
}

/// One range flush from CPU 0 while an operation of CPU 0 is open.
OperationResult flush_in_operation(FlushBench& bench) {
    Accountant& account = bench.machine.account(0);
    const auto id = account.begin(OperationKind::kMunmap, bench.cpu(0).now());
    bench.flush_range(0, FlushBench::range(1));
    account.end(id, bench.cpu(0).now(), Outcome::kDone);
    return account.finished().back();
}

/// A handler that invalidates one entry, from its entry to the store of its acknowledgement.
Duration handler_time(const FlushBench& bench, const KernelCosts& costs) {
    const auto& plain = bench.machine.plain_costs();
    return costs.interrupt_entry + plain.memory_access + costs.flush_function +
           plain.memory_access + plain.tlb_operation;
}

}  // namespace

TEST_CASE("acknowledgements: the wait goes to the stages of the target that finishes last",
          "[unit][flush]") {
    const Report early{1, at_ns(100), at_ns(700), at_ns(800), at_ns(810)};
    const Report late{2, at_ns(110), at_ns(150), at_ns(900), at_ns(910)};
    const PartTimes parts = stages_of({late, early});
    CHECK(parts[Part::kIpiDelivery] == late.arrived - Instant{});
    CHECK(parts[Part::kIrqOff] == late.entered - late.arrived);
    CHECK(parts[Part::kHandler] == late.done - late.entered);
    CHECK(parts[Part::kAck] == late.visible - late.done);
    CHECK(parts.sum() == late.visible - Instant{});
}

TEST_CASE("acknowledgements: the order of the reports does not matter", "[unit][flush]") {
    // Two are last together; the lower CPU is to blame, whoever reports first.
    const Report blamed{1, at_ns(100), at_ns(200), at_ns(850), at_ns(900)};
    std::vector<Report> reports{{0, at_ns(90), at_ns(95), at_ns(600), at_ns(650)},
                                blamed,
                                {3, at_ns(300), at_ns(400), at_ns(850), at_ns(900)}};
    do {
        const PartTimes parts = stages_of(reports);
        CHECK(parts[Part::kIpiDelivery] == blamed.arrived - Instant{});
        CHECK(parts[Part::kIrqOff] == blamed.entered - blamed.arrived);
        CHECK(parts.sum() == blamed.visible - Instant{});
    } while (std::next_permutation(
        reports.begin(), reports.end(),
        [](const Report& a, const Report& b) { return a.target < b.target; }));
}

TEST_CASE("acknowledgements: one report too many breaks an invariant", "[unit][flush]") {
    const Report report{1, at_ns(1), at_ns(2), at_ns(3), at_ns(4)};
    Accountant account(0);
    PlainTime time(0, account, nanoseconds(1));
    Acknowledgements acknowledgements(time, 1, CallParts{});
    acknowledgements.report(report);
    CHECK_THROWS_AS(acknowledgements.report(report), InvariantError);
}

TEST_CASE("call function: one target gets the single vector and several get the other one",
          "[unit][flush]") {
    FlushBench bench(3);
    bench.load({1});
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.trace().first(Event::kIpiSend).arguments ==
          EventArguments{kCallFunctionSingleVector, 1u << 1});
    CHECK(bench.trace().names(1).front() == "call_function_single_entry");

    bench.load({2});
    bench.flush_range(0, FlushBench::range(1));
    CHECK(bench.trace().first(Event::kIpiSend).arguments ==
          EventArguments{kCallFunctionVector, 1u << 1 | 1u << 2});
    CHECK(bench.trace().names(1).front() == "call_function_entry");
    CHECK(bench.flush.stats(0).ipi_sent == 1 + 2);
}

TEST_CASE("call function: the parts of a shootdown add up to its stages", "[unit][flush]") {
    FlushBench bench(3);
    bench.load({0, 1, 2});
    const KernelCosts& costs = bench.machine.costs();
    const auto& plain = bench.machine.plain_costs();

    // CPU 2 has interrupts off, or is busy, for a while after the interrupt arrives.
    const Duration busy = nanoseconds(3000000);
    bench.trace().at_next(Event::kIpiSend, 0, [&] {
        bench.machine.time(1).idle_until(bench.cpu(0).now());
        bench.machine.time(2).idle_until(bench.cpu(0).now());
        bench.cpu(2).spend(plain.send_ipi + plain.ipi_delivery + busy, Part::kUser);
    });
    const PartTimes parts = flush_in_operation(bench).parts;

    CHECK(parts[Part::kIpiSend] ==
          (costs.call_function_queue + plain.memory_access) * 2 + plain.send_ipi);
    CHECK(parts[Part::kIpiDelivery] == plain.ipi_delivery);
    CHECK(parts[Part::kIrqOff] == busy);
    CHECK(parts[Part::kHandler] == handler_time(bench, costs));
    CHECK(parts[Part::kAck] == plain.visibility);
    // tlb_gen and the mask, then three times is_lazy.
    CHECK(parts[Part::kFlushPrepare] == costs.flush_setup + plain.memory_access * 2 +
                                            (costs.lazy_check + plain.memory_access) * 3);
    // Its own flush, and its second turn without an invalidation.
    CHECK(parts[Part::kFlushLocal] ==
          (costs.flush_function + plain.memory_access) * 2 + plain.tlb_operation);
}

TEST_CASE("call function: a target that is free spends nothing with interrupts off",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    const PartTimes parts = flush_in_operation(bench).parts;
    CHECK(parts[Part::kIrqOff] == Duration{});
    CHECK(parts[Part::kIpiDelivery] == bench.machine.plain_costs().ipi_delivery);
}

TEST_CASE("call function: the target's time is an interruption of what it was doing",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    Accountant& account = bench.machine.account(1);
    bench.machine.time(1).idle_until(at_ns(1000000000));
    const auto id = account.begin(OperationKind::kReclaim, bench.cpu(1).now());
    bench.flush_range(0, FlushBench::range(1));
    account.end(id, bench.cpu(1).now(), Outcome::kDone);

    const OperationResult result = account.finished().back();
    const KernelCosts& costs = bench.machine.costs();
    CHECK(result.parts[Part::kInterrupted] == handler_time(bench, costs) + costs.interrupt_exit);
    CHECK(result.parts.sum() == result.parts[Part::kInterrupted]);
}

TEST_CASE("call function: a target works for the operation of the initiator", "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    const OperationId cause = flush_in_operation(bench).id;
    unsigned on_target = 0;
    for (const auto& record : bench.trace().records()) {
        if (record.actor != 1) continue;
        ++on_target;
        CHECK(record.operation == cause);
    }
    CHECK(on_target > 0);
    CHECK(bench.machine.account(1).current() == 0);
}

TEST_CASE("call function: a second caller of a waiting queue sends no interrupt", "[unit][flush]") {
    FlushBench bench(3);
    bench.load({1});
    // Nothing is delivered until both CPU 0 and CPU 2 have queued their calls.
    TakenInterrupt interrupt;
    bench.machine.interrupts(0).deliver = [&](const auto& sent) {
        interrupt = {sent.vector, sent.at, sent.cause};
    };
    const auto serve = [&] { bench.machine.take_interrupt(bench.calls, 1, interrupt); };
    bench.machine.time(2).while_waiting = serve;
    bench.machine.time(0).while_waiting = [&] { bench.flush_range(2, FlushBench::range(1)); };
    bench.flush_range(0, FlushBench::range(1));

    CHECK(bench.flush.stats(0).ipi_sent == 1);
    CHECK(bench.flush.stats(2).ipi_sent == 0);
    CHECK(bench.calls.received(1) == 1);
    CHECK(bench.trace().count(Event::kIpiSend) == 1);
    const auto acks = bench.trace().lines({"from"}, 1);
    CHECK(std::count(acks.begin(), acks.end(), "call_function_ack from=0") == 1);
    CHECK(std::count(acks.begin(), acks.end(), "call_function_ack from=2") == 1);

    // The interrupt that nobody needs any more finds an empty queue.
    bench.forget();
    serve();
    CHECK(bench.trace().names(1) == Lines{"call_function_single_entry"});
}

TEST_CASE("call function: an acknowledgement is stored after the function and seen later",
          "[unit][flush]") {
    FlushBench bench(2);
    bench.load({0, 1});
    bench.flush_range(0, FlushBench::range(1));
    const auto names = bench.trace().names(1);
    CHECK(names.back() == "call_function_ack");
    const Instant stored = bench.trace().first(Event::kCallFunctionAck).time;
    // CPU 0 goes on with its second turn the moment it sees the store.
    CHECK(bench.trace().find(Event::kFlushTlbFuncRemote).back().time ==
          stored + bench.machine.plain_costs().visibility);
}
