// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n4_start_may_sleep.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kLock = 0x40, kOther = 0x80;

struct Stream : EventStream {
    Stream& start(std::uint64_t blockable = 1) {
        emit(Event::kMnStart, {kMm, kVa, kEnd, blockable});
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, 0}), *this;
    }
    Stream& end() { return emit(Event::kMnEnd, {kMm, kVa, kEnd, 0}), *this; }
    Stream& lock(std::uint64_t lock = kLock) { return emit(Event::kPtlLock, {lock}), *this; }
    Stream& unlock(std::uint64_t lock = kLock) { return emit(Event::kPtlUnlock, {lock}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<StartMaySleepMonitor>(stream, vocabulary);
}

TEST_CASE("rule N4: START and END around the locks pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().lock().lock(kOther).unlock(kOther).unlock().end());
    CHECK(verdict.judged == 2);
    CHECK(verdict.violated == 0);
    // The lock of another CPU is no matter.
    CHECK(judge(Stream().lock().by(1).start().end()).violated == 0);
}

TEST_CASE("rule N4: a START under a page-table lock breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().lock().start().unlock().end());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "START of mm 2 [0x1000, 0x3000) may sleep but was called with a page-table lock held");
    CHECK(judge(Stream().lock().lock(kOther).unlock(kOther).start()).violated == 1);
}

TEST_CASE("rule N4: an END under a page-table lock breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().lock().end());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "END of mm 2 [0x1000, 0x3000) may sleep but was called with a page-table lock held");
}

TEST_CASE("rule N4: a START inside flush_tlb_func breaks it", "[unit][oracle]") {
    Stream stream;
    stream.emit(Event::kFlushTlbFunc, {1, kMm, kVa, kEnd, 7});
    stream.start().emit(Event::kFlushTlbFuncRet);
    const auto verdict = judge(stream.end());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "START of mm 2 [0x1000, 0x3000) may sleep but was called inside flush_tlb_func");
}

TEST_CASE("rule N4: a section that may not block may be called anywhere", "[unit][oracle]") {
    CHECK(judge(Stream().lock().start(0).end()).judged == 0);
}

TEST_CASE("rule N4: a stream without locks is not judged", "[unit][oracle]") {
    CHECK(judge(Stream().start().end(), Vocabulary::kCapture50).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
