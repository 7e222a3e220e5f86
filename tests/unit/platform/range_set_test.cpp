// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/range_set.hpp"

#include <catch2/catch.hpp>

#include "platform/oracle/bounded_map.hpp"

namespace mmusim::platform {
namespace {

RangeSet of(std::initializer_list<rmap::VirtRange> ranges) {
    RangeSet set;
    for (const auto range : ranges) set.add(range);
    return set;
}

TEST_CASE("range set: ranges that touch become one", "[unit][oracle]") {
    CHECK(of({{{1}, {3}}, {{3}, {5}}}).text() == "[0x1, 0x5)");
    CHECK(of({{{3}, {5}}, {{1}, {3}}}).text() == "[0x1, 0x5)");
    CHECK(of({{{1}, {3}}, {{5}, {7}}, {{2}, {6}}}).text() == "[0x1, 0x7)");
    CHECK(of({{{1}, {9}}, {{3}, {5}}}).text() == "[0x1, 0x9)");
    CHECK(of({{{3}, {5}}, {{1}, {9}}}).text() == "[0x1, 0x9)");
    CHECK(of({{{5}, {7}}, {{9}, {11}}, {{1}, {3}}}).text() == "[0x1, 0x3), [0x5, 0x7), [0x9, 0xb)");
}

TEST_CASE("range set: covers what is in it without a gap", "[unit][oracle]") {
    const RangeSet set = of({{{1}, {3}}, {{5}, {7}}});
    CHECK(set.covers({{1}, {3}}));
    CHECK(set.covers({{6}, {7}}));
    CHECK_FALSE(set.covers({{2}, {6}}));
    CHECK_FALSE(set.covers({{3}, {5}}));
    CHECK_FALSE(set.covers({{6}, {8}}));
}

TEST_CASE("range set: an empty range adds nothing", "[unit][oracle]") {
    CHECK(of({}).empty());
    CHECK(of({{{3}, {3}}}).empty());
    CHECK_FALSE(of({{{3}, {4}}}).empty());
}

TEST_CASE("range set: remembers a bounded number of ranges", "[unit][oracle]") {
    RangeSet set;
    for (std::uint64_t i = 0; i <= kMonitorCapacity; ++i) set.add({{2 * i}, {2 * i + 1}});
    CHECK(set.covers({{0}, {1}}));
    CHECK_FALSE(set.covers({{2 * kMonitorCapacity}, {2 * kMonitorCapacity + 1}}));
}

}  // namespace
}  // namespace mmusim::platform
