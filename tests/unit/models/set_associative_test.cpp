// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/set_associative.hpp"

#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"

namespace mmusim::test {

using models::ArrayGeometry;
using models::IndexFunction;
using models::SetIndex;
using Array = models::SetAssociative<std::uint64_t, int>;

TEST_CASE("set index: plain is the remainder whatever the number of sets", "[unit][tlb]") {
    const SetIndex eight(IndexFunction::kPlain, 8);
    const SetIndex three(IndexFunction::kPlain, 3);
    const SetIndex one(IndexFunction::kPlain, 1);
    for (std::uint64_t number = 0; number < 100; ++number) {
        CHECK(eight(number) == number % 8);
        CHECK(three(number) == number % 3);
        CHECK(one(number) == 0);
    }
}

TEST_CASE("set index: folding adds the bits above the low ones", "[unit][tlb]") {
    const SetIndex index(IndexFunction::kXorFold, 128);
    CHECK(index(0x55) == 0x55);
    CHECK(index(1 << 7 | 3) == (3 ^ 1));
    CHECK(index(0x7f << 7 | 0x7f) == 0);
    CHECK(index(1 << 14) == 0);  // bits above the second seven have no part in it
    CHECK(SetIndex(IndexFunction::kXorFold, 1)(12345) == 0);
    CHECK_THROWS_AS(SetIndex(IndexFunction::kXorFold, 12), rmap::InvariantError);
}

TEST_CASE("set associative: pages that share a set push each other out", "[unit][tlb]") {
    Array array({6, 2});  // three sets
    for (const std::uint64_t number : {0, 3, 6}) array.insert(number, number, 1);
    CHECK_FALSE(array.find(0, 0));
    CHECK(array.find(3, 3));
    CHECK(array.find(6, 6));
    CHECK_FALSE(array.find(1, 1));
}

TEST_CASE("set associative: an insertion says what had to go", "[unit][tlb]") {
    Array array({2, 2});
    CHECK_FALSE(array.insert(0, 10, 1));
    CHECK_FALSE(array.insert(0, 11, 2));
    CHECK_FALSE(array.insert(0, 10, 3));  // over its old self
    const auto gone = array.insert(0, 12, 4);
    REQUIRE(gone);
    CHECK(gone->first == 11);
    CHECK(gone->second == 2);
    CHECK(*array.find(0, 10) == 3);
}

TEST_CASE("set associative: an empty way is filled before any other makes room", "[unit][tlb]") {
    Array array({4, 4, IndexFunction::kPlain, models::ReplacementPolicy::kTreePlru});
    for (std::uint64_t key = 0; key < 4; ++key) array.insert(0, key, 0);
    CHECK(array.erase_in_set(0, [](std::uint64_t key, int) { return key == 3; }) == 1);
    CHECK_FALSE(array.insert(0, 4, 0));
    for (const std::uint64_t key : {0, 1, 2, 4}) CHECK(array.find(0, key));
}

TEST_CASE("set associative: no entries hold nothing", "[unit][tlb]") {
    Array array({0, 4});
    CHECK(array.insert(0, 1, 2)->second == 2);
    CHECK_FALSE(array.find(0, 1));
    CHECK(array.erase_if([](std::uint64_t, int) { return true; }) == 0);
    CHECK(array.erase_in_set(0, [](std::uint64_t, int) { return true; }) == 0);
}

}  // namespace mmusim::test
