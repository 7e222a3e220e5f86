// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/set_associative.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <list>
#include <optional>
#include <random>
#include <utility>
#include <vector>

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
    std::vector<std::pair<std::uint64_t, int>> gone;
    const auto insert = [&](std::uint64_t key, int value) {
        array.insert(0, key, value, [&](std::uint64_t k, int v) { gone.emplace_back(k, v); });
    };
    insert(10, 1);
    insert(11, 2);
    insert(10, 3);  // over its old self
    insert(12, 4);
    using Gone = std::pair<std::uint64_t, int>;
    CHECK(gone == std::vector<Gone>{{10, 1}, {11, 2}});
    CHECK(*array.find(0, 10) == 3);
}

TEST_CASE("set associative: an empty way is filled before any other makes room", "[unit][tlb]") {
    Array array({4, 4, IndexFunction::kPlain, models::ReplacementPolicy::kTreePlru});
    for (std::uint64_t key = 0; key < 4; ++key) array.insert(0, key, 0);
    CHECK(array.erase_in_set(0, [](std::uint64_t key, int) { return key == 3; }) == 1);
    array.insert(0, 4, 0);
    for (const std::uint64_t key : {0, 1, 2, 4}) CHECK(array.find(0, key));
}

namespace {

/// One LRU list per set: what SetAssociative has to do.
class ListedArray {
public:
    ListedArray(std::size_t sets, std::size_t ways) : sets_(sets), ways_(ways) {}

    bool find(std::uint64_t key) {
        auto& set = set_of(key);
        const auto at = std::find(set.begin(), set.end(), key);
        if (at == set.end()) return false;
        set.splice(set.begin(), set, at);
        return true;
    }
    std::optional<std::uint64_t> insert(std::uint64_t key) {
        auto& set = set_of(key);
        std::optional<std::uint64_t> gone;
        if (!find(key)) {
            if (set.size() == ways_) {
                gone = set.back();
                set.pop_back();
            }
            set.push_front(key);
        }
        return gone;
    }
    void erase(std::uint64_t key) { set_of(key).remove(key); }

private:
    std::list<std::uint64_t>& set_of(std::uint64_t key) { return sets_[key % sets_.size()]; }

    std::vector<std::list<std::uint64_t>> sets_;
    std::size_t ways_;
};

}  // namespace

TEST_CASE("set associative: few ways and many do what an LRU list does", "[unit][tlb]") {
    for (const ArrayGeometry geometry :
         {ArrayGeometry{64, 64}, ArrayGeometry{51, 17}, ArrayGeometry{96, 96}, ArrayGeometry{48, 3},
          ArrayGeometry{7, 1}, ArrayGeometry{12, 12}}) {
        CAPTURE(geometry.entries, geometry.ways);
        Array array(geometry);
        ListedArray listed(geometry.sets(), geometry.ways);
        std::mt19937_64 draw(geometry.entries);
        bool same = true;
        for (unsigned n = 0; n < 20000; ++n) {
            const std::uint64_t key = draw() % (2 * geometry.entries);
            const std::uint64_t what = draw() % 100;
            if (what < 50) {
                same = same && (array.find(key, key) != nullptr) == listed.find(key);
            } else if (what < 95) {
                std::optional<std::uint64_t> gone;
                array.insert(key, key, 0, [&](std::uint64_t k, int) {
                    if (k != key) gone = k;
                });
                same = same && gone == listed.insert(key);
            } else {
                array.erase_in_set(key, [&](std::uint64_t k, int) { return k == key; });
                listed.erase(key);
            }
        }
        CHECK(same);
    }
}

TEST_CASE("set associative: no entries hold nothing", "[unit][tlb]") {
    Array array({0, 4});
    int gone = 0;
    array.insert(0, 1, 2, [&](std::uint64_t, int value) { gone = value; });
    CHECK(gone == 2);
    CHECK_FALSE(array.find(0, 1));
    CHECK(array.erase_if([](std::uint64_t, int) { return true; }) == 0);
    CHECK(array.erase_in_set(0, [](std::uint64_t, int) { return true; }) == 0);
}

}  // namespace mmusim::test
