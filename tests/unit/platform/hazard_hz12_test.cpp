// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz12_pinned_lazyfree.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& discard(std::uint64_t pfn = kPfn) {
        return emit(Event::kPteClearDefer, {kMm, kVa, 0, 0x25, pfn, 4}), *this;
    }
    Stream& freeze(std::uint64_t ret, std::uint64_t count = 1) {
        return emit(Event::kPageRefFreeze, {kPfn, count, ret}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<PinnedLazyfreeMonitor>(stream);
}

TEST_CASE("hazard HZ12: a discarded page that cannot be frozen has another user",
          "[unit][oracle]") {
    const auto found = judge(Stream().discard().freeze(0));
    REQUIRE(found.count() == 1);
    CHECK(found.first().time == rmap::Instant{20'000});
    CHECK(found.first().window == rmap::nanoseconds(10));
    CHECK(found.first().what ==
          "mm 2 va 0x1000 lost pfn 0x1a2b, to which somebody holds a reference");
    CHECK(found.first().translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
}

TEST_CASE("hazard HZ12: a page that nobody else holds is none", "[unit][oracle]") {
    CHECK(judge(Stream().discard().freeze(1)).count() == 0);
}

TEST_CASE("hazard HZ12: a page of a cache and one that was not just unmapped are none",
          "[unit][oracle]") {
    CHECK(judge(Stream().discard().freeze(0, 2)).count() == 0);
    CHECK(judge(Stream().freeze(0)).count() == 0);
    CHECK(judge(Stream().discard(kPfn + 1).freeze(0)).count() == 0);
    CHECK(judge(Stream().discard().by(1).freeze(0)).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
