// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_filter.hpp"

#include <catch2/catch.hpp>

#include "tests/support/tlb_configs.hpp"

namespace mmusim::models {
namespace {

using rmap::PageNumber;

constexpr TlbTag kSpace{1, 0};
constexpr TlbTag kOther{2, 0};

/// Four sets: pages 1, 5 and 9 are of the same one.
struct Bench {
    TlbFilter filter{test::split_tlb({16, 4}, {4, 4})};

    TlbFilter::Use use(std::uint64_t page, TlbTag tag = kSpace) {
        return filter.used(PageNumber{page}, tag, 0);
    }
    void grant(std::uint64_t page, TlbTag tag = kSpace) {
        TlbGrant grant;
        grant.translation.frame = {page + 100};
        filter.keep(PageNumber{page}, tag, grant);
    }
    /// Frame of what may be used; 0: nothing.
    std::uint64_t usable(std::uint64_t page, TlbTag tag = kSpace) const {
        const auto found = filter.find(PageNumber{page}, tag);
        return found.held ? found.held->grant.translation.frame.value : 0;
    }
};

}  // namespace

TEST_CASE("tlb filter: it asks for a grant when a set is used twice for the same page",
          "[unit][tlb]") {
    Bench bench;
    CHECK_FALSE(bench.use(1).ask);
    CHECK_FALSE(bench.use(5).ask);
    CHECK_FALSE(bench.use(2).ask);
    CHECK(bench.use(5).ask);
    bench.grant(5);
    CHECK_FALSE(bench.use(5).ask);
    CHECK(bench.usable(5) == 105);
    CHECK(bench.usable(5, kOther) == 0);
}

TEST_CASE("tlb filter: of a set the grant for the last used way may be used, and no other",
          "[unit][tlb]") {
    Bench bench;
    bench.grant(1);
    const auto first = bench.filter.find(PageNumber{1}, kSpace);
    bench.grant(5);
    bench.grant(2);
    CHECK(bench.usable(1) == 0);
    CHECK(bench.usable(5) == 105);
    CHECK(bench.usable(2) == 102);
    CHECK(*first.current != first.held->serial);

    SECTION("one that is held may be used again after a use through the TLB") {
        const auto use = bench.use(1);
        CHECK_FALSE(use.ask);
        REQUIRE(use.usable.held != nullptr);
        CHECK(use.usable.held->grant.translation.frame.value == 101);
        CHECK(*first.current == first.held->serial);
        CHECK(bench.usable(5) == 0);
    }
    SECTION("none after a use of a page that was not granted") {
        bench.use(9);
        CHECK(bench.usable(1) == 0);
        CHECK(bench.usable(5) == 0);
        CHECK(bench.usable(2) == 102);
    }
    SECTION("none after a miss") {
        bench.filter.missed(PageNumber{9}, kSpace);
        CHECK(bench.usable(5) == 0);
        CHECK(bench.usable(2) == 102);
        CHECK(bench.use(5).usable.held != nullptr);
    }
    SECTION("none for what was missed, even if nobody has withdrawn it") {
        bench.filter.missed(PageNumber{5}, kSpace);
        CHECK(bench.use(5).usable.held == nullptr);
    }
}

TEST_CASE("tlb filter: what is withdrawn may not be used again, in any space", "[unit][tlb]") {
    Bench bench;
    bench.grant(1);
    bench.grant(1, kOther);
    bench.grant(5);
    bench.grant(6);
    const bool few = GENERATE(true, false);
    const auto withdrawn =
        few ? rmap::aligned_pages(rmap::address_of(PageNumber{1}), 0)
            : rmap::VirtRange{rmap::address_of(PageNumber{1}), rmap::address_of(PageNumber{6})};
    bench.filter.withdraw(withdrawn);
    CHECK(bench.usable(6) == 106);
    CHECK(bench.usable(5) == (few ? 105 : 0));
    for (const auto space : {kSpace, kOther}) {
        CHECK(bench.use(1, space).usable.held == nullptr);
        CHECK(bench.usable(1, space) == 0);
    }
    bench.grant(1);
    CHECK(bench.usable(1) == 101);
}

TEST_CASE("tlb filter: a grant that takes the place of another has another serial", "[unit][tlb]") {
    Bench bench;
    bench.grant(1);
    const auto found = bench.filter.find(PageNumber{1}, kSpace);
    const auto serial = found.held->serial;
    for (const std::uint64_t page : {5, 9, 13, 17}) bench.grant(page);  // one more than are held
    CHECK(*found.current != serial);
    CHECK(bench.use(1).usable.held == nullptr);
    bench.grant(1);
    CHECK(*found.current != serial);
    CHECK(bench.usable(1) == 101);
}

}  // namespace mmusim::models
