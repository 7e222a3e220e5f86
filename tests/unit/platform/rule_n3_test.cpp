// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n3_refused_start.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kTryAgain = 1;

struct Stream : EventStream {
    Stream& start(std::uint64_t ret = 0) {
        emit(Event::kMnStart, {kMm, kVa, kEnd, 0});
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, ret}), *this;
    }
    Stream& end(std::uint64_t end = kEnd) { return emit(Event::kMnEnd, {kMm, kVa, end, 0}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) { return test::judge<RefusedStartMonitor>(stream); }

TEST_CASE("rule N3: the OOM reaper skips what was refused", "[unit][oracle]") {
    const auto verdict = judge(Stream().start(kTryAgain).start().end());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().start().end()).judged == 0);
}

TEST_CASE("rule N3: an END after a refusal breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start(kTryAgain).end());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() == "END for mm 2 [0x1000, 0x3000), whose START was refused at 20 ns");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(10));
    // It is one END too many once only.
    CHECK(judge(Stream().start(kTryAgain).end().end()).violated == 1);
}

TEST_CASE("rule N3: an END belongs to the section of its CPU and range", "[unit][oracle]") {
    // A section of the same range that was granted is still open.
    CHECK(judge(Stream().start().start(kTryAgain).end()).violated == 0);
    CHECK(judge(Stream().start().start(kTryAgain).end().end()).violated == 1);
    CHECK(judge(Stream().start(kTryAgain).end(kEnd + 0x1000)).violated == 0);
    CHECK(judge(Stream().start(kTryAgain).by(1).start().end()).violated == 0);
    // Granted at the second try.
    CHECK(judge(Stream().start(kTryAgain).start().end().end()).violated == 0);
}

}  // namespace
}  // namespace mmusim::platform
