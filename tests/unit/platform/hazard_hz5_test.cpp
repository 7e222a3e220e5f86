// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz5_accepted_start.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kTryAgain = 1;

struct Stream : EventStream {
    Stream& start(bool blockable = false) {
        return emit(Event::kMnStart, {kMm, kVa, kEnd, blockable}), *this;
    }
    Stream& accept(std::uint64_t client) {
        return emit(Event::kClientStart, {client, kMm, kVa, kEnd}), *this;
    }
    Stream& ret(std::uint64_t ret) {
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, ret}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<AcceptedStartMonitor>(stream);
}

TEST_CASE("hazard HZ5: who has accepted a refused START stays in its section", "[unit][oracle]") {
    const auto found = judge(Stream().start().accept(1).ret(kTryAgain));
    REQUIRE(found.count() == 1);
    CHECK(found.first().time == rmap::Instant{30'000});
    CHECK(found.first().what ==
          "START of mm 2 [0x1000, 0x3000) was refused; client 1 had accepted it");
    const auto two = judge(Stream().start().accept(1).accept(4).ret(kTryAgain));
    CHECK(two.count() == 1);
    CHECK(two.first().what ==
          "START of mm 2 [0x1000, 0x3000) was refused; clients 1, 4 had accepted it");
}

TEST_CASE("hazard HZ5: a START that only its one client refuses is none", "[unit][oracle]") {
    CHECK(judge(Stream().start().ret(kTryAgain)).count() == 0);
    // Who accepted an earlier one has had its END.
    CHECK(judge(Stream().start().accept(1).ret(0).start().ret(kTryAgain)).count() == 0);
    CHECK(judge(Stream().start(true).accept(1).ret(0).start().ret(kTryAgain)).count() == 0);
}

TEST_CASE("hazard HZ5: a START that is granted is none", "[unit][oracle]") {
    CHECK(judge(Stream().start().accept(1).ret(0)).count() == 0);
    CHECK(judge(Stream().start(true).accept(1).ret(0)).count() == 0);
}

TEST_CASE("hazard HZ5: clients belong to the START of their CPU", "[unit][oracle]") {
    CHECK(judge(Stream().start().by(1).start(true).accept(1).by(0).ret(kTryAgain)).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
