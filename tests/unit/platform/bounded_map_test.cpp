// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/bounded_map.hpp"

#include <catch2/catch.hpp>

namespace mmusim::platform {
namespace {

TEST_CASE("bounded_map: forgets its oldest entry when a new one does not fit", "[unit][oracle]") {
    BoundedMap<int, int> map(2);
    map.at(1) = 10;
    map.at(2) = 20;
    map.at(1) = 11;  // present already: neither new nor younger
    map.at(3) = 30;
    CHECK(map.find(1) == nullptr);
    REQUIRE(map.find(2) != nullptr);
    CHECK(*map.find(2) == 20);
    CHECK(*map.find(3) == 30);
}

TEST_CASE("bounded_map: an erased entry makes room", "[unit][oracle]") {
    BoundedMap<int, int> map(2);
    map.at(1) = 10;
    map.at(2) = 20;
    map.erase(2);
    map.erase(7);
    map.at(3) = 30;
    CHECK(map.find(2) == nullptr);
    CHECK(*map.find(1) == 10);
    CHECK(*map.find(3) == 30);
}

}  // namespace
}  // namespace mmusim::platform
