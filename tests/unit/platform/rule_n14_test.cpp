// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n14_only_end.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kOnly = 1;

struct Stream : EventStream {
    Stream& start() { return emit(Event::kMnStart, {kMm, kVa, kEnd, 1}), *this; }
    Stream& end(std::uint64_t only) {
        emit(Event::kMnEnd, {kMm, kVa, kEnd, only});
        return emit(Event::kMnEndRet, {kMm, kVa, kEnd}), *this;
    }
    Stream& clear(std::uint64_t va = kVa) {
        return emit(Event::kPtepClearFlush, {kMm, va, 0, 0x67, 0x1a2b, 4}), *this;
    }
    Stream& restore(Event how = Event::kPteRestore) {
        return emit(how, {kMm, kVa, 0, 0x67}), *this;
    }
    Stream& invalidate(std::uint64_t from = kVa, std::uint64_t to = kVa + 0x1000) {
        return emit(Event::kMnInvalidateRange, {kMm, from, to}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) { return test::judge<OnlyEndMonitor>(stream); }

TEST_CASE("rule N14: COW and splits may use the END without invalidate_range", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().clear().invalidate().end(kOnly));
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().start().end(kOnly)).violated == 0);
    CHECK(judge(Stream().start().clear().restore().end(kOnly)).violated == 0);
    CHECK(judge(Stream().start().clear().restore(Event::kPteRestoreLazyfree).end(kOnly)).violated ==
          0);
    CHECK(judge(Stream().start().clear().end(0)).judged == 0);
}

TEST_CASE("rule N14: a clear without invalidate_range breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().clear().end(kOnly));
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "the section of mm 2 [0x1000, 0x3000) ended without invalidate_range, though va 0x1000 "
          "was cleared at 20 ns and had none");
    CHECK(verdict.breaches[0].translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(judge(Stream().start().invalidate().clear().end(kOnly)).violated == 1);
    CHECK(judge(Stream().start().clear().clear(kVa + 0x1000).invalidate().end(kOnly)).violated ==
          1);
}

TEST_CASE("rule N14: each section answers for its own clears", "[unit][oracle]") {
    // Of another CPU in the same range, of the time before START, of another address.
    CHECK(judge(Stream().start().by(1).start().clear().by(0).end(kOnly)).violated == 0);
    CHECK(judge(Stream().start().clear().start().end(kOnly)).violated == 0);
    CHECK(judge(Stream().start().clear(kEnd).end(kOnly)).violated == 0);
    // Notified by whom it may be.
    CHECK(judge(Stream().start().clear().by(1).invalidate().by(0).end(kOnly)).violated == 0);
}

}  // namespace
}  // namespace mmusim::platform
