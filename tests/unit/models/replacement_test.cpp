// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/replacement.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::test {

using models::Replacement;
using models::ReplacementPolicy;

namespace {

/// A full set: its ways were filled in their order.
struct Set {
    Replacement replacement;
    Replacement::State state;

    Set(ReplacementPolicy policy, unsigned ways)
        : replacement(policy, ways), state(replacement.no_uses()) {
        for (unsigned way = 0; way < ways; ++way) use(way);
    }
    Set& use(unsigned way) {
        replacement.use(state, way);
        return *this;
    }
    unsigned victim() { return replacement.victim(state); }
    /// The victims of so many misses in a row.
    std::vector<unsigned> victims(unsigned misses) {
        std::vector<unsigned> ways;
        for (unsigned n = 0; n < misses; ++n) {
            ways.push_back(victim());
            use(ways.back());
        }
        return ways;
    }
};

using Ways = std::vector<unsigned>;

}  // namespace

TEST_CASE("replacement: LRU takes the way whose last use is longest ago", "[unit][tlb]") {
    CHECK(Set(ReplacementPolicy::kLru, 4).victims(5) == Ways{0, 1, 2, 3, 0});
    CHECK(Set(ReplacementPolicy::kLru, 4).use(0).use(2).use(1).victims(4) == Ways{3, 0, 2, 1});
    CHECK(Set(ReplacementPolicy::kLru, 3).use(0).victims(3) == Ways{1, 2, 0});
    CHECK(Set(ReplacementPolicy::kLru, 2048).use(0).victim() == 1);
}

TEST_CASE("replacement: a tree points away from the last uses", "[unit][tlb]") {
    CHECK(Set(ReplacementPolicy::kTreePlru, 4).victims(5) == Ways{0, 2, 1, 3, 0});
    // 0 is used: the root points to {2, 3}, where 3 was the last.
    CHECK(Set(ReplacementPolicy::kTreePlru, 4).use(0).victim() == 2);
    // Not the least recently used one: 0 and 2 are in different halves.
    CHECK(Set(ReplacementPolicy::kTreePlru, 4).use(2).use(0).victim() == 3);
    CHECK(Set(ReplacementPolicy::kTreePlru, 8).victims(8) == Ways{0, 4, 2, 6, 1, 5, 3, 7});
    CHECK(Set(ReplacementPolicy::kTreePlru, 1).victims(2) == Ways{0, 0});
}

TEST_CASE("replacement: the lower half of an odd tree is the larger", "[unit][tlb]") {
    // {0, 1} and {2}
    CHECK(Set(ReplacementPolicy::kTreePlru, 3).victims(5) == Ways{0, 2, 1, 2, 0});
    CHECK(Set(ReplacementPolicy::kTreePlru, 64).victim() == 0);
}

TEST_CASE("replacement: NRU takes the first way that was not used since all others were",
          "[unit][tlb]") {
    // The fill of way 3 forgot the uses of the others.
    CHECK(Set(ReplacementPolicy::kNru, 4).victims(5) == Ways{0, 1, 2, 0, 1});
    CHECK(Set(ReplacementPolicy::kNru, 4).use(0).use(2).victim() == 1);
    CHECK(Set(ReplacementPolicy::kNru, 64).use(0).victim() == 1);
}

TEST_CASE("replacement: Skylake takes the group after the one of the last use", "[unit][tlb]") {
    constexpr auto kPolicy = ReplacementPolicy::kMruPlusOnePlru4;
    // The last fill was that of way 11, in group 2; each group has a tree of its own.
    CHECK(Set(kPolicy, 12).victims(7) == Ways{0, 4, 8, 2, 6, 10, 1});
    CHECK(Set(kPolicy, 12).use(5).victim() == 8);
    CHECK(Set(kPolicy, 12).use(5).use(0).victim() == 6);
    CHECK(Set(kPolicy, 12).use(5).use(8).victim() == 0);
}

TEST_CASE("replacement: random ways are the same in every run", "[unit][tlb]") {
    const auto first = Set(ReplacementPolicy::kRandom, 6).victims(200);
    CHECK(first == Set(ReplacementPolicy::kRandom, 6).victims(200));
    CHECK(std::set<unsigned>(first.begin(), first.end()) == std::set<unsigned>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("replacement: policies that keep bits have their limits", "[unit][tlb]") {
    CHECK_THROWS_AS(Replacement(ReplacementPolicy::kTreePlru, 65), rmap::InvariantError);
    CHECK_THROWS_AS(Replacement(ReplacementPolicy::kNru, 65), rmap::InvariantError);
    CHECK_THROWS_AS(Replacement(ReplacementPolicy::kMruPlusOnePlru4, 10), rmap::InvariantError);
    CHECK_NOTHROW(Replacement(ReplacementPolicy::kRandom, 1000));
}

TEST_CASE("replacement: another use of the way that was used last changes nothing", "[unit][tlb]") {
    const std::pair<ReplacementPolicy, unsigned> all[] = {
        {ReplacementPolicy::kLru, 1},      {ReplacementPolicy::kLru, 5},
        {ReplacementPolicy::kTreePlru, 1}, {ReplacementPolicy::kTreePlru, 6},
        {ReplacementPolicy::kNru, 1},      {ReplacementPolicy::kNru, 64},
        {ReplacementPolicy::kRandom, 4},   {ReplacementPolicy::kMruPlusOnePlru4, 12}};
    for (const auto& [policy, ways] : all) {
        CAPTURE(static_cast<int>(policy), ways);
        Set set(policy, ways);
        std::mt19937_64 draw(ways);
        bool changed = false;
        for (unsigned n = 0; n < 1000; ++n) {
            const auto way = static_cast<unsigned>(draw() % ways);
            set.use(way);
            const auto once = set.state;
            changed = changed || set.use(way).state != once;
        }
        CHECK_FALSE(changed);
    }
}

}  // namespace mmusim::test
