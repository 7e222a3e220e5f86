// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz16_empty_invalidation.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kTop = ~std::uint64_t{0};

Occurrences judge(std::uint64_t start, std::uint64_t end) {
    EventStream stream;
    stream.emit(Event::kMnInvalidateRange, {kMm, start, end});
    return test::occurrences<EmptyInvalidationMonitor>(stream);
}

TEST_CASE("hazard HZ16: the gather of a whole mm invalidates nothing", "[unit][oracle]") {
    const auto found = judge(kTop, kTop);
    REQUIRE(found.count() == 1);
    CHECK(found.first().what == "invalidate_range of mm 2 for [~0, ~0)");
}

TEST_CASE("hazard HZ16: any other range is none", "[unit][oracle]") {
    CHECK(judge(0, kTop).count() == 0);
    CHECK(judge(kTop - 0xfff, kTop).count() == 0);
    CHECK(judge(0, 0).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
