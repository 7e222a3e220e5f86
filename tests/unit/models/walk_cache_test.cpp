// SPDX-License-Identifier: Apache-2.0
#include "models/walker/walk_cache.hpp"

#include <catch2/catch.hpp>

namespace mmusim::test {

using models::TlbScope;
using models::TlbTag;
using models::WalkCache;
using rmap::FrameNumber;
using rmap::Instant;
using rmap::VirtAddr;

namespace {

constexpr std::uint64_t kRegion = 1ull << 21;
constexpr Instant kRead{100};
constexpr TlbTag kOne{1, 0};
constexpr TlbTag kTwo{2, 0};

WalkCache cache_of(unsigned level, std::size_t entries = 8) {
    return {{"pde", level, {entries, entries ? 4u : 0u, {}, {}}, {}}, rmap::x86_64_4level()};
}

TlbScope scope_of(std::uint64_t first, std::uint64_t end, Instant at = kRead) {
    return models::scope_of(1, {VirtAddr{first}, VirtAddr{end}}, at);
}

models::WalkedTable table(std::uint64_t frame) { return {FrameNumber{frame}, kRead, {}, {}}; }

}  // namespace

TEST_CASE("walk cache: an entry is for all pages of its region and its space", "[unit][walker]") {
    for (unsigned level = 2; level <= 4; ++level) {
        const std::uint64_t region = 1ull << (12 + 9 * (level - 1));
        WalkCache cache = cache_of(level);
        cache.insert(kOne, region + 0x5000, table(9));
        REQUIRE(cache.lookup(kOne, 2 * region - 1));
        CHECK(cache.lookup(kOne, region)->frame == FrameNumber{9});
        CHECK_FALSE(cache.lookup(kOne, region - 1));
        CHECK_FALSE(cache.lookup(kOne, 2 * region));
        CHECK_FALSE(cache.lookup(kTwo, region));
        CHECK_FALSE(cache.lookup({1, 7}, region));
        CHECK(cache.lookups() == 6);
        CHECK(cache.hits() == 2);
        cache.forget(kTwo, region);
        CHECK(cache.lookup(kOne, region));
        cache.forget(kOne, 2 * region - 1);
        CHECK_FALSE(cache.lookup(kOne, region));
    }
}

TEST_CASE("walk cache: an invalidation drops regions that have pages in its range",
          "[unit][walker]") {
    WalkCache cache = cache_of(2);
    for (std::uint64_t n = 0; n < 4; ++n) cache.insert(kOne, n * kRegion, table(n));
    cache.insert(kTwo, kRegion, table(5));
    CHECK(cache.invalidate(scope_of(2 * kRegion - 0x1000, 2 * kRegion, Instant{99})) == 0);
    CHECK(cache.invalidate(scope_of(2 * kRegion - 0x1000, 2 * kRegion)) == 1);
    CHECK_FALSE(cache.lookup(kOne, kRegion));
    CHECK(cache.lookup(kOne, 2 * kRegion));
    CHECK(cache.invalidate(scope_of(2 * kRegion, 3 * kRegion + 0x1000)) == 2);
    CHECK(cache.lookup(kOne, 0));
    CHECK(cache.invalidate(models::scope_of(1, rmap::kAllAddresses, kRead)) == 1);
    CHECK(cache.lookup(kTwo, kRegion));
}

TEST_CASE("walk cache: without entries it always misses", "[unit][walker]") {
    WalkCache cache = cache_of(2, 0);
    cache.insert(kOne, 0, table(9));
    CHECK_FALSE(cache.lookup(kOne, 0));
    CHECK(cache.invalidate({}) == 0);
}

}  // namespace mmusim::test
