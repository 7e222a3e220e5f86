// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/t2_complete_shootdown.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x2000, kGen = 7;

struct Stream : EventStream {
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
    Stream& others(std::uint64_t mask, std::uint64_t gen = kGen) {
        return emit(Event::kFlushTlbOthers, {mask, kMm, kVa, kEnd, gen}), *this;
    }
    Stream& ret() { return emit(Event::kFlushTlbOthersRet), *this; }
    Stream& lazy(std::uint64_t cpu, std::uint64_t not_lazy) {
        emit(Event::kTlbIsNotLazy, {cpu}).emit(Event::kTlbIsNotLazyRet, {not_lazy});
        return *this;
    }
    Stream& called(std::uint64_t gen = kGen) {
        return emit(Event::kFlushTlbFuncRemote, {kMm, kVa, kEnd, gen}), *this;
    }
    Stream& function(std::uint64_t gen = kGen) {
        return called(gen).emit(Event::kFlushTlbFunc, {1, kMm, kVa, kEnd, gen}), *this;
    }
    Stream& done() { return emit(Event::kFlushTlbFuncRet), *this; }
};

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<CompleteShootdownMonitor>(stream, vocabulary);
}

TEST_CASE("rule T2: a return after everybody has flushed passes", "[unit][oracle]") {
    const auto verdict = judge(
        Stream().others(0x7).by(2).function().by(1).function().done().by(2).done().by(0).ret());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule T2: a CPU that was not interrupted breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().others(0x7).by(1).function().done().by(0).ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "flush_tlb_others returned before CPU 2 began its flush");
    CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(40));
}

TEST_CASE("rule T2: a CPU that is still flushing breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().others(0x2).by(1).function().by(0).ret().by(1).done());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "flush_tlb_others returned before CPU 1 had finished its flush");
}

TEST_CASE("rule T2: a CPU that does not run the mm has nothing to flush", "[unit][oracle]") {
    CHECK(judge(Stream().others(0x2).by(1).called().by(0).ret()).violated == 0);
}

TEST_CASE("rule T2: lazy CPUs are left out and others are not", "[unit][oracle]") {
    CHECK(judge(Stream().others(0x2).lazy(1, 0).ret()).violated == 0);
    CHECK(judge(Stream().others(0x2).lazy(1, 1).ret()).violated == 1);
    CHECK(judge(Stream().others(0x6).lazy(1, 0).ret()).violated == 1);
}

TEST_CASE("rule T2: a flush for another request or an earlier one does not count",
          "[unit][oracle]") {
    CHECK(judge(Stream().others(0x2).by(1).function(8).done().by(0).ret()).violated == 1);
    CHECK(judge(Stream().by(1).function().done().by(0).others(0x2).ret()).violated == 1);
    // Serving the next request already, after this one.
    CHECK(judge(Stream().others(0x2).by(1).function().done().function(8).by(0).ret()).violated ==
          0);
}

TEST_CASE("rule T2: rounds of several CPUs are independent", "[unit][oracle]") {
    Stream stream;
    stream.others(0x4).by(1).others(0x4, 8).by(2).function().done().by(0).ret();
    stream.by(2).function(8).by(1).ret();
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 2);
    CHECK(verdict.violated == 1);
    CHECK(verdict.breaches.at(0).actor == 1);
}

TEST_CASE("rule T2: judges nothing when lazy CPUs cannot be told", "[unit][oracle]") {
    CHECK(judge(Stream().others(0x2).ret(), Vocabulary::kCapture61).judged == 0);
    CHECK(judge(Stream().others(0x2).ret(), Vocabulary::kCapture50).violated == 1);
}

}  // namespace
}  // namespace mmusim::platform
