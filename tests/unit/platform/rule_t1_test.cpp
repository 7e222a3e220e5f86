// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/t1_generation_order.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;
using Rule = GenerationOrderMonitor;

constexpr std::uint64_t kMm = 2, kVa = 0x100000000000, kEnd = kVa + 0x1000, kMask = 0xe;

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<Rule>(stream, vocabulary);
}

struct Range : EventStream {
    Range& store() { return emit(Event::kPtepClearFlush, {kMm, kVa}), *this; }
    Range& begin() { return emit(Event::kFlushTlbMmRange, {kMm, kVa, kEnd, 12, 0}), *this; }
    Range& raise() { return emit(Event::kTlbGenInc, {kMm, 7}), *this; }
    Range& read() { return emit(Event::kCpumaskRead, {kMm, kMask}), *this; }
    Range& others() { return emit(Event::kFlushTlbOthers, {kMask, kMm, kVa, kEnd, 7}), *this; }
    Range& ipi() { return emit(Event::kIpiSend, {0xfc, kMask}), *this; }
    Range& ret() { return emit(Event::kFlushTlbMmRangeRet, {kMm, kVa, kEnd}), *this; }
};

struct Batch : EventStream {
    Batch& store() { return emit(Event::kPteClearDefer, {kMm, kVa, 0, 0x47, 0x1a2b, 4}), *this; }
    Batch& raise() { return emit(Event::kUbcTlbGenInc, {kMm, 6}), *this; }
    Batch& read() { return emit(Event::kCpumaskRead, {kMm, kMask}), *this; }
    Batch& choose() { return emit(Event::kUbcFlushRequired, {kMm, kVa, kMask}), *this; }
};

TEST_CASE("rule T1: a range flush in the kernel's order passes", "[unit][oracle]") {
    const auto verdict = judge(Range().store().begin().raise().read().others().ipi().ret());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    // Nobody to interrupt: the mask may go unread, and the generation is still raised.
    CHECK(judge(Range().store().begin().raise().ret()).judged == 1);
    CHECK(judge(Range().store().begin().raise().ret()).violated == 0);
}

TEST_CASE("rule T1: a read of the mask before the clear decides nothing", "[unit][oracle]") {
    CHECK(judge(Range().read().store().begin().raise().read().others().ret()).violated == 0);
    CHECK(judge(Batch().read().store().raise().choose()).violated == 0);
}

TEST_CASE("rule T1: a flush that never raises the generation breaks it", "[unit][oracle]") {
    const auto verdict = judge(Range().store().begin().ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "flush_tlb_mm_range did not raise tlb_gen after the PTE store");
    CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(20));
    // An increment of an earlier flush does not count.
    CHECK(judge(Range().raise().store().begin().ret()).violated == 1);
    CHECK(judge(Range().raise().begin().ret()).violated == 1);
}

TEST_CASE("rule T1: a store after the increment breaks it", "[unit][oracle]") {
    const auto verdict = judge(Range().begin().raise().store().read().others().ret());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "CPUs were interrupted before tlb_gen was raised");
}

TEST_CASE("rule T1: a mask that was read before the increment breaks it", "[unit][oracle]") {
    const auto verdict = judge(Range().store().begin().read().raise().others().ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "CPUs were interrupted by a mm_cpumask read before tlb_gen was raised");
}

TEST_CASE("rule T1: interrupts before the increment break it whoever is told first",
          "[unit][oracle]") {
    CHECK(judge(Range().store().begin().read().others().raise().ret()).violated == 1);
    CHECK(judge(Range().store().begin().read().ipi().raise().read().others().ret()).violated == 1);
}

TEST_CASE("rule T1: each flush is judged by itself", "[unit][oracle]") {
    Range stream;
    stream.store().begin().raise().read().others().ret();
    stream.store().begin().read().others().raise().ret();
    stream.store().begin().raise().read().others().ret();
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 3);
    CHECK(verdict.violated == 1);
}

TEST_CASE("rule T1: another CPU's increment does not stand in", "[unit][oracle]") {
    Range stream;
    stream.store().begin();
    stream.on(1);
    stream.raise();
    stream.on(0);
    stream.read().others().ret();
    CHECK(judge(stream).violated == 1);
}

TEST_CASE("rule T1: a deferred flush in the kernel's order passes", "[unit][oracle]") {
    const auto verdict = judge(Batch().store().raise().read().choose().store().raise().choose());
    CHECK(verdict.judged == 2);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule T1: a deferred flush without a later increment breaks it", "[unit][oracle]") {
    const auto verdict = judge(Batch().raise().store().choose());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "the CPUs to flush were chosen without raising tlb_gen after the PTE store");
    CHECK(judge(Batch().store().choose().raise()).violated == 1);
}

TEST_CASE("rule T1: a deferred flush whose mask was read too early breaks it", "[unit][oracle]") {
    const auto verdict = judge(Batch().store().read().raise().choose());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "mm_cpumask was read before tlb_gen was raised");
}

TEST_CASE("rule T1: judges no step that a capture cannot show", "[unit][oracle]") {
    const auto range = judge(Range().store().begin().others().ret(), Vocabulary::kCapture50);
    CHECK(range.judged == 0);
    CHECK(range.violated == 0);
    const auto batch = judge(Batch().store().choose(), Vocabulary::kCapture50);
    CHECK(batch.violated == 1);
}

}  // namespace
}  // namespace mmusim::platform
