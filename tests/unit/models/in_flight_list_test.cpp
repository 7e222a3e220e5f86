// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "models/device/in_flight_list.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

using models::InFlightList;
using rmap::Instant;
using rmap::VirtAddr;

namespace {

constexpr rmap::VirtRange kRange{{0x1000}, {0x3000}};

InFlightList list() {
    InFlightList accesses;
    accesses.add(1, VirtAddr{0x1000}, Instant{10}, Instant{110});
    accesses.add(1, VirtAddr{0x2fff}, Instant{20}, Instant{120});
    accesses.add(1, VirtAddr{0x3000}, Instant{30}, Instant{130});
    accesses.add(2, VirtAddr{0x1000}, Instant{40}, Instant{140});
    return accesses;
}

}  // namespace

TEST_CASE("in flight list: only accesses to the range from before the time are waited for",
          "[unit][device]") {
    const auto accesses = list();
    CHECK(accesses.last_end(1, kRange, Instant{10}) == Instant{});
    CHECK(accesses.last_end(1, kRange, Instant{11}) == Instant{110});
    CHECK(accesses.last_end(1, kRange, Instant{20}) == Instant{110});
    CHECK(accesses.last_end(1, kRange, Instant{200}) == Instant{120});
    CHECK(accesses.last_end(2, kRange, Instant{200}) == Instant{140});
}

TEST_CASE("in flight list: an access is over at its end", "[unit][device]") {
    const auto accesses = list();
    CHECK(accesses.running(1, kRange, Instant{200}, Instant{109}) == 2);
    CHECK(accesses.running(1, kRange, Instant{200}, Instant{110}) == 1);
    CHECK(accesses.running(1, kRange, Instant{20}, Instant{109}) == 1);
    CHECK(accesses.running(1, kRange, Instant{200}, Instant{120}) == 0);
}

TEST_CASE("in flight list: a place is free when the oldest of too many is over", "[unit][device]") {
    auto accesses = list();
    CHECK(accesses.fewer_than(5) == Instant{});
    CHECK(accesses.fewer_than(4) == Instant{110});
    CHECK(accesses.fewer_than(2) == Instant{130});
    accesses.forget(Instant{110});
    CHECK(accesses.fewer_than(4) == Instant{});
    CHECK(accesses.fewer_than(3) == Instant{120});
}

}  // namespace mmusim::test
