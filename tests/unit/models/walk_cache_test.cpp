// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "models/walker/walk_cache.hpp"

namespace mmusim::test {

using models::WalkCache;
using rmap::FrameNumber;
using rmap::Instant;
using rmap::VirtAddr;

namespace {

constexpr std::uint64_t kRegion = 1ull << 21;
constexpr Instant kRead{100};

}  // namespace

TEST_CASE("walk cache: an entry is for all pages of its region and its context", "[unit][walker]") {
    WalkCache cache({8, 4});
    cache.insert(1, VirtAddr{kRegion + 0x5000}, {FrameNumber{9}, kRead});
    REQUIRE(cache.lookup(1, VirtAddr{2 * kRegion - 1}));
    CHECK(cache.lookup(1, VirtAddr{kRegion})->frame == FrameNumber{9});
    CHECK_FALSE(cache.lookup(1, VirtAddr{kRegion - 1}));
    CHECK_FALSE(cache.lookup(1, VirtAddr{2 * kRegion}));
    CHECK_FALSE(cache.lookup(2, VirtAddr{kRegion}));
    CHECK(cache.lookups() == 5);
    CHECK(cache.hits() == 2);
}

TEST_CASE("walk cache: an invalidation drops regions that have pages in its range",
          "[unit][walker]") {
    WalkCache cache({8, 4});
    for (std::uint64_t n = 0; n < 4; ++n)
        cache.insert(1, VirtAddr{n * kRegion}, {FrameNumber{n}, kRead});
    cache.insert(2, VirtAddr{kRegion}, {FrameNumber{5}, kRead});
    const rmap::VirtRange last_page{VirtAddr{2 * kRegion - 0x1000}, VirtAddr{2 * kRegion}};
    CHECK(cache.invalidate(1, last_page, Instant{99}) == 0);
    CHECK(cache.invalidate(1, last_page, kRead) == 1);
    CHECK_FALSE(cache.lookup(1, VirtAddr{kRegion}));
    CHECK(cache.lookup(1, VirtAddr{2 * kRegion}));
    CHECK(cache.invalidate(1, {VirtAddr{2 * kRegion}, VirtAddr{3 * kRegion + 0x1000}}, kRead) == 2);
    CHECK(cache.lookup(1, VirtAddr{0}));
    CHECK(cache.invalidate(1, rmap::kAllAddresses, kRead) == 1);
    CHECK(cache.lookup(2, VirtAddr{kRegion}));
}

TEST_CASE("walk cache: without entries it always misses", "[unit][walker]") {
    WalkCache cache({0, 0});
    cache.insert(1, VirtAddr{0}, {FrameNumber{9}, kRead});
    CHECK_FALSE(cache.lookup(1, VirtAddr{0}));
    CHECK(cache.invalidate(1, rmap::kAllAddresses, kRead) == 0);
}

}  // namespace mmusim::test
