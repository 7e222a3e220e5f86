// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/component/tlb_bench.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::Inclusion;
using models::Stream;
using models::TlbConfig;
using models::TlbScope;
using rmap::Access;

namespace {

constexpr std::uint32_t kHit = 0b00, kSecond = 0b01, kWalk = 0b11;

TlbConfig level(unsigned number, std::vector<Stream> streams, std::size_t entries) {
    auto config = tlb_of({{"small", {0, 4}, {entries, static_cast<unsigned>(entries)}}});
    config.name = "level" + std::to_string(number) +
                  (streams.size() == 2           ? ""
                   : streams[0] == Stream::kData ? "d"
                                                 : "i");
    config.level = number;
    config.streams = std::move(streams);
    return config;
}

/// Fully associative LRU, the second level with an inclusion.
std::vector<TlbConfig> two_levels(std::size_t first, std::size_t second, Inclusion inclusion) {
    const std::vector<Stream> both = {Stream::kData, Stream::kFetch};
    std::vector<TlbConfig> tlbs = {level(1, both, first), level(2, both, second)};
    tlbs[1].inclusion = inclusion;
    return tlbs;
}

TlbScope page_scope(std::uint64_t page, models::SpaceId space = 1) {
    TlbScope scope;
    scope.space = space;
    scope.range = rmap::aligned_pages(rmap::address_of(rmap::PageNumber{page}), 0);
    return scope;
}

TlbScope everything() {
    TlbScope scope;
    scope.globals = true;
    return scope;
}

std::uint64_t accesses(TlbBench& bench, std::initializer_list<std::uint64_t> pages) {
    std::uint64_t walks = 0;
    for (const auto page : pages) walks += bench.access(page) == kWalk;
    return walks;
}

}  // namespace

TEST_CASE("mmu hierarchy: what an inclusive level evicts goes above as well", "[component][mmu]") {
    TlbBench bench(two_levels(4, 2, Inclusion::kInclusive));
    CHECK(accesses(bench, {0, 1, 0, 0}) == 2);
    // The second level has not seen the hits: 0 is its least recently used.
    CHECK(accesses(bench, {2}) == 1);
    CHECK(bench.access(0) == kWalk);
    CHECK(bench.access(2) == kHit);
    CHECK(bench.tlb(0).stats().invalidated == 0);  // by no instruction
}

TEST_CASE("mmu hierarchy: levels that are neither keep what the one below evicts",
          "[component][mmu]") {
    TlbBench bench(two_levels(4, 2, Inclusion::kNeither));
    CHECK(accesses(bench, {0, 1, 2, 3}) == 4);
    for (const std::uint64_t page : {0, 1, 2, 3}) CHECK(bench.access(page) == kHit);
}

TEST_CASE("mmu hierarchy: an inclusive level takes no more than its victim from above",
          "[component][mmu]") {
    TlbBench bench(two_levels(4, 2, Inclusion::kInclusive));
    bench.access(0, 1);
    bench.access(0, 2);
    bench.access(5, 2);  // the entry of space 1 goes
    CHECK(bench.access(0, 2) == kHit);
    CHECK(bench.access(5, 2) == kHit);
    CHECK(bench.access(0, 1) == kWalk);
}

TEST_CASE("mmu hierarchy: a granted entry that an inclusive level takes is withdrawn",
          "[component][mmu]") {
    TlbBench bench(two_levels(4, 1, Inclusion::kInclusive));
    bench.access(7);
    REQUIRE(bench.grant(7));
    bench.access(8);
    CHECK(bench.withdrawn() == std::vector<std::uint64_t>{7});
}

TEST_CASE("mmu hierarchy: an inclusive third level empties all above", "[component][mmu]") {
    auto tlbs = two_levels(4, 4, Inclusion::kNeither);
    tlbs.push_back(level(3, {Stream::kData, Stream::kFetch}, 1));
    tlbs[2].inclusion = Inclusion::kInclusive;
    TlbBench bench(tlbs);
    bench.access(0);
    bench.access(1);
    CHECK(bench.access(1) == 0);
    CHECK(bench.access(0) == 0b111);
}

TEST_CASE("mmu hierarchy: an exclusive level gets victims and gives hits back",
          "[component][mmu]") {
    TlbBench bench(two_levels(2, 4, Inclusion::kExclusive));
    CHECK(accesses(bench, {0, 1}) == 2);
    CHECK(bench.tlb(1).invalidate(everything()) == 0);  // a walk fills in above only
    CHECK(accesses(bench, {2}) == 1);                   // 0 goes down
    CHECK(bench.access(0) == kSecond);                  // and up, 1 goes down
    CHECK(bench.frame() == rmap::FrameNumber{0});
    CHECK(bench.access(0) == kHit);
    CHECK(bench.tlb(1).invalidate(page_scope(0)) == 0);
    CHECK(bench.tlb(1).invalidate(page_scope(1)) == 1);
}

TEST_CASE("mmu hierarchy: exclusive levels hold as many pages as both have entries",
          "[component][mmu]") {
    TlbBench bench(two_levels(2, 4, Inclusion::kExclusive));
    CHECK(accesses(bench, {0, 1, 2, 3, 4, 5}) == 6);
    CHECK(accesses(bench, {0, 1, 2, 3, 4, 5}) == 0);
    CHECK(accesses(bench, {6, 0, 1, 2, 3, 4, 5}) == 7);  // one more, in LRU's worst order
}

TEST_CASE("mmu hierarchy: an exclusive level that is asked as well keeps its entry",
          "[component][mmu]") {
    std::vector<TlbConfig> tlbs = {level(1, {Stream::kData}, 1), level(1, {Stream::kFetch}, 1),
                                   level(2, {Stream::kData, Stream::kFetch}, 4)};
    tlbs[2].inclusion = Inclusion::kExclusive;
    TlbBench bench(tlbs);
    bench.access(0);
    CHECK(bench.access(0, 1, Access::kExecute) == kWalk);  // only data have it
    bench.access(1);                                       // 0 of the data goes down
    CHECK(bench.access(0, 1, Access::kExecute, true) == kHit);
    CHECK(bench.tlb(2).stats().hits == 1);
    CHECK(bench.access(0) == kSecond);
}

TEST_CASE("mmu hierarchy: what is invalidated while it is walked is used and not kept",
          "[component][mmu]") {
    struct Case {
        TlbScope scope;
        std::uint8_t order;
        bool global;
        bool kept;
    };
    TlbScope of_globals = page_scope(5, 2);
    of_globals.globals = true;
    TlbScope of_guest = page_scope(5);
    of_guest.vm = 1;
    const Case all[] = {
        {page_scope(5), 0, false, false}, {page_scope(6), 0, false, true},
        {page_scope(6), 4, false, false},  // a page of the same entry
        {page_scope(16), 4, false, true}, {page_scope(5, 2), 0, false, true},
        {page_scope(5), 0, true, true},   {of_globals, 0, true, false},
        {of_globals, 0, false, true},     {everything(), 0, true, false},
        {of_guest, 0, false, true},
    };
    TlbBench bench(two_levels(4, 4, Inclusion::kNeither));
    for (const auto& one : all) {
        CAPTURE(one.order, one.global, one.kept);
        for (const std::size_t n : {0, 1}) bench.tlb(n).invalidate(everything());
        bench.order = one.order;
        bench.global = one.global;
        bench.meanwhile = [&] {
            for (const std::size_t n : {0, 1}) bench.tlb(n).invalidate(one.scope);
        };
        CHECK(bench.access(5) == kWalk);
        CHECK(bench.frame() == rmap::FrameNumber{one.order ? 0u : 5u});
        bench.meanwhile = nullptr;
        CHECK(bench.access(5) == (one.kept ? kHit : kWalk));
        CHECK(bench.access(5) == kHit);
    }
}

TEST_CASE("mmu hierarchy: an invalidation before the walk or after it changes nothing in between",
          "[component][mmu]") {
    TlbBench bench(two_levels(4, 4, Inclusion::kNeither));
    for (const std::size_t n : {0, 1}) bench.tlb(n).invalidate(page_scope(5));
    CHECK(bench.access(5) == kWalk);
    CHECK(bench.access(5) == kHit);
    // Of two walks at the same time each is judged by what came during it.
    unsigned depth = 0;
    bench.meanwhile = [&] {
        if (++depth > 1) return;
        bench.tlb(0).invalidate(page_scope(7));
        bench.tlb(1).invalidate(page_scope(7));
    };
    bench.access(7);
    bench.meanwhile = nullptr;
    CHECK(bench.access(7) == kWalk);
}

TEST_CASE("mmu hierarchy: a level of few spaces drops the one whose use is longest ago",
          "[component][mmu]") {
    auto tlbs = two_levels(1, 16, Inclusion::kInclusive);
    tlbs[1].live_spaces = 2;
    TlbBench bench(tlbs);
    bench.access(0, 1);
    bench.access(1, 1);
    bench.access(0, 2);
    CHECK(bench.access(1, 1) == kSecond);  // space 1 is used
    bench.access(0, 3);                    // 2 goes
    CHECK(bench.access(0, 1) == kSecond);
    CHECK(bench.access(1, 1) == kSecond);
    CHECK(bench.access(0, 2) == kWalk);
}

TEST_CASE("mmu hierarchy: a space that a limited inclusive level drops goes above as well",
          "[component][mmu]") {
    auto tlbs = two_levels(16, 16, Inclusion::kInclusive);
    tlbs[1].live_spaces = 1;
    TlbBench bench(tlbs);
    bench.access(0, 1);
    bench.access(1, 1);
    bench.access(9, 2);
    CHECK(bench.access(9, 2) == kHit);
    CHECK(bench.access(0, 1) == kWalk);
}

}  // namespace mmusim::test
