// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "models/tlb/tlb_array.hpp"
#include "rmap/types/check.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::TlbArray;
using models::Translation;
using rmap::Access;
using rmap::FrameNumber;
using rmap::PageNumber;
using rmap::TlbOperation;

namespace {

const models::TlbConfig kConfig = split_tlb({8, 2}, {4, 2});
constexpr std::uint64_t kSets = 4;

Translation to(std::uint64_t frame) {
    Translation translation;
    translation.frame = FrameNumber{frame};
    translation.writable = true;
    translation.dirty = true;
    return translation;
}

Translation global_to(std::uint64_t frame) {
    Translation translation = to(frame);
    translation.global = true;
    return translation;
}

Translation large_to(std::uint64_t frame) {
    Translation translation = to(frame);
    translation.order = rmap::kLargeOrder;
    return translation;
}

bool hits(TlbArray& tlb, std::uint64_t page, rmap::Pcid pcid = 1, Access access = Access::kRead,
          rmap::VmId vm = 0) {
    return tlb.lookup(PageNumber{page}, {pcid, vm}, access) != nullptr;
}

/// How many entries the instruction drops.
std::uint64_t invalidate(TlbArray& tlb, const TlbOperation& operation) {
    const auto scope = models::scope_of(operation);
    return scope ? tlb.invalidate(*scope) : 0;
}

}  // namespace

TEST_CASE("tlb array: the least recently used way of a full set gives way", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    tlb.insert(PageNumber{kSets}, {1, 0}, to(11));
    CHECK(hits(tlb, 0));
    tlb.insert(PageNumber{2 * kSets}, {1, 0}, to(12));
    CHECK(hits(tlb, 0));
    CHECK_FALSE(hits(tlb, kSets));
    CHECK(hits(tlb, 2 * kSets));
    tlb.insert(PageNumber{1}, {1, 0}, to(13));  // another set
    CHECK(hits(tlb, 0));
}

TEST_CASE("tlb array: a page filled again replaces itself", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    tlb.insert(PageNumber{kSets}, {1, 0}, to(11));
    tlb.insert(PageNumber{0}, {1, 0}, to(20));
    CHECK(tlb.lookup(PageNumber{0}, {1, 0}, Access::kRead)->frame == FrameNumber{20});
    CHECK(hits(tlb, kSets));
}

TEST_CASE("tlb array: contexts share no entry and global entries answer for all", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    CHECK_FALSE(hits(tlb, 0, 2));
    tlb.insert(PageNumber{1}, {1, 0}, global_to(11));
    CHECK(hits(tlb, 1, 2));
    invalidate(tlb, {TlbOperation::Kind::kCr3Write, 2, {}, {}});
    CHECK(hits(tlb, 1, 2));
    invalidate(tlb, {TlbOperation::Kind::kInvpcidAddress, 2, rmap::address_of(PageNumber{1}), {}});
    CHECK(hits(tlb, 1, 2));
    invalidate(tlb, {TlbOperation::Kind::kInvlpg, 2, rmap::address_of(PageNumber{1}), {}});
    CHECK_FALSE(hits(tlb, 1, 2));
}

TEST_CASE("tlb array: a store needs a writable entry that is known to be dirty", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    Translation clean = to(10);
    clean.dirty = false;
    tlb.insert(PageNumber{0}, {1, 0}, clean);
    CHECK(hits(tlb, 0));
    CHECK_FALSE(hits(tlb, 0, 1, Access::kWrite));
    Translation read_only = to(11);
    read_only.writable = false;
    tlb.insert(PageNumber{1}, {1, 0}, read_only);
    CHECK_FALSE(hits(tlb, 1, 1, Access::kWrite));
    CHECK(tlb.stats().hits == 1);
    CHECK(tlb.stats().misses == 2);
}

TEST_CASE("tlb array: a guest's page that its second stage has in pieces is invalidated whole",
          "[unit][tlb]") {
    TlbArray tlb(kConfig);
    for (std::uint64_t page = 512; page < 512 + 4; ++page) {
        Translation piece = to(page);
        piece.first_order = 9;
        tlb.insert(PageNumber{page}, {1, 7}, piece);
    }
    CHECK(tlb.lookup(PageNumber{514}, {1, 7}, Access::kRead));
    CHECK_FALSE(tlb.lookup(PageNumber{516}, {1, 7}, Access::kRead));
    models::TlbScope scope;
    scope.vm = 7;
    scope.range = rmap::aligned_pages(rmap::address_of(PageNumber{1024}), 0);
    CHECK(tlb.invalidate(scope) == 0);
    scope.range = rmap::aligned_pages(rmap::address_of(PageNumber{1000}), 0);
    CHECK(tlb.invalidate(scope) == 4);
}

TEST_CASE("tlb array: an execute-only page is not read and a page without it is not executed",
          "[unit][tlb]") {
    TlbArray tlb(kConfig);
    Translation page = to(10);
    page.readable = false;
    page.executable = true;
    tlb.insert(PageNumber{0}, {1, 0}, page);
    CHECK_FALSE(hits(tlb, 0));
    CHECK(hits(tlb, 0, 1, Access::kExecute));
    page.executable = false;
    page.readable = true;
    tlb.insert(PageNumber{0}, {1, 0}, page);
    CHECK(hits(tlb, 0));
    CHECK_FALSE(hits(tlb, 0, 1, Access::kExecute));
}

TEST_CASE("tlb array: invalidating any page of a large one drops it whole", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{512}, {1, 0}, large_to(512));
    CHECK(hits(tlb, 512 + 300));
    CHECK(invalidate(
              tlb, {TlbOperation::Kind::kInvlpg, 1, rmap::address_of(PageNumber{512 + 77}), {}}) ==
          1);
    CHECK_FALSE(hits(tlb, 512));
}

TEST_CASE("tlb array: guests and the host share no entry", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    tlb.insert(PageNumber{0}, {1, 7}, to(11));
    CHECK(tlb.lookup(PageNumber{0}, {1, 0}, Access::kRead)->frame == FrameNumber{10});
    CHECK(tlb.lookup(PageNumber{0}, {1, 7}, Access::kRead)->frame == FrameNumber{11});
    CHECK_FALSE(hits(tlb, 0, 1, Access::kRead, 8));
    CHECK_FALSE(hits(tlb, 0, 2, Access::kRead, 7));
}

TEST_CASE("tlb array: a global entry of a guest answers in that guest only", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 7}, global_to(10));
    CHECK(hits(tlb, 0, 2, Access::kRead, 7));
    CHECK_FALSE(hits(tlb, 0, 1, Access::kRead, 0));
    CHECK_FALSE(hits(tlb, 0, 1, Access::kRead, 8));
}

TEST_CASE("tlb array: invalidations of the host leave guests alone", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 7}, to(11));
    tlb.insert(PageNumber{1}, {1, 7}, global_to(10));
    tlb.insert(PageNumber{512}, {1, 7}, large_to(512));
    using Kind = TlbOperation::Kind;
    for (const auto kind : {Kind::kInvlpg, Kind::kInvpcidAddress, Kind::kCr3Write,
                            Kind::kCr3WriteNoFlush, Kind::kAll})
        for (const std::uint64_t page : {0, 1, 512})
            CHECK(invalidate(tlb, {kind, 1, rmap::address_of(PageNumber{page}), {}}) == 0);
    CHECK(hits(tlb, 0, 1, Access::kRead, 7));
    CHECK(hits(tlb, 1, 1, Access::kRead, 7));
    CHECK(hits(tlb, 512, 1, Access::kRead, 7));
}

TEST_CASE("tlb array: INVEPT drops everything of its guest and nothing else", "[unit][tlb]") {
    TlbArray tlb(kConfig);
    tlb.insert(PageNumber{0}, {1, 7}, to(11));
    tlb.insert(PageNumber{1}, {2, 7}, global_to(10));
    tlb.insert(PageNumber{512}, {3, 7}, large_to(512));
    tlb.insert(PageNumber{2}, {1, 8}, to(12));
    tlb.insert(PageNumber{3}, {1, 0}, to(13));
    CHECK(invalidate(tlb, {TlbOperation::Kind::kInvept, 0, {}, {}, 7}) == 3);
    CHECK_FALSE(hits(tlb, 0, 1, Access::kRead, 7));
    CHECK_FALSE(hits(tlb, 1, 2, Access::kRead, 7));
    CHECK_FALSE(hits(tlb, 512, 3, Access::kRead, 7));
    CHECK(hits(tlb, 2, 1, Access::kRead, 8));
    CHECK(hits(tlb, 3));
    CHECK(tlb.stats().invalidated == 3);
    CHECK_THROWS_AS(invalidate(tlb, {TlbOperation::Kind::kInvept, 0, {}, {}, 0}),
                    rmap::InvariantError);
}

TEST_CASE("tlb array: sizes that share an array push each other out", "[unit][tlb]") {
    TlbArray tlb(tlb_of({{"shared", {0, rmap::kLargeOrder}, {2, 2}}}));
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    tlb.insert(PageNumber{512}, {1, 0}, large_to(512));
    CHECK(hits(tlb, 0));
    CHECK(hits(tlb, 512 + 9));
    tlb.insert(PageNumber{1}, {1, 0}, to(11));
    CHECK_FALSE(hits(tlb, 0));
    CHECK(hits(tlb, 512));
}

TEST_CASE("tlb array: a 4 KiB page and a 2 MiB page of one number are two pages", "[unit][tlb]") {
    TlbArray tlb(tlb_of({{"shared", {0, rmap::kLargeOrder}, {8, 8}}}));
    tlb.insert(PageNumber{512}, {1, 0}, large_to(1024));  // number 1 of its size
    CHECK_FALSE(hits(tlb, 1));
    tlb.insert(PageNumber{1}, {1, 0}, to(11));
    CHECK(tlb.lookup(PageNumber{1}, {1, 0}, Access::kRead)->frame == FrameNumber{11});
    CHECK(tlb.lookup(PageNumber{600}, {1, 0}, Access::kRead)->frame_of(PageNumber{600}) ==
          FrameNumber{1024 + 88});
}

TEST_CASE("tlb array: a size without an array is kept in pieces of the largest below",
          "[unit][tlb]") {
    constexpr unsigned kHuge = 18;  // 1 GiB
    TlbArray tlb(split_tlb({8, 2}, {8, 8}));
    Translation huge = to(1 << kHuge);
    huge.order = kHuge;
    tlb.insert(PageNumber{513}, {1, 0}, huge);
    CHECK(hits(tlb, 512));
    CHECK(hits(tlb, 1023));
    CHECK_FALSE(hits(tlb, 0));
    CHECK_FALSE(hits(tlb, 1024));
    CHECK(tlb.lookup(PageNumber{513}, {1, 0}, Access::kRead)->frame_of(PageNumber{513}) ==
          FrameNumber{(1 << kHuge) + 513});
}

TEST_CASE("tlb array: invalidating one page of a large one drops all its pieces", "[unit][tlb]") {
    TlbArray tlb(tlb_of({{"small", {0}, {8, 8}}}));
    for (const std::uint64_t page : {512, 600, 1023})
        tlb.insert(PageNumber{page}, {1, 0}, large_to(512));
    tlb.insert(PageNumber{1024}, {1, 0}, large_to(1024));
    tlb.insert(PageNumber{5}, {1, 0}, to(5));
    const auto address = rmap::address_of(PageNumber{700});  // no piece of its own
    CHECK(invalidate(tlb, {TlbOperation::Kind::kInvlpg, 1, address, {}}) == 3);
    CHECK(hits(tlb, 1024));
    CHECK(hits(tlb, 5));
}

TEST_CASE("tlb array: joined entries of a contiguous group are one for all its pages",
          "[unit][tlb]") {
    constexpr unsigned kGroup = 4;  // 16 entries of 4 KiB, as the contiguous bit joins them
    TlbArray tlb(tlb_of({{"shared", {0, kGroup}, {2, 2}}}));
    Translation group = to(160);
    group.order = kGroup;
    tlb.insert(PageNumber{16 + 5}, {1, 0}, group);
    tlb.insert(PageNumber{3}, {1, 0}, to(10));
    for (std::uint64_t page = 16; page < 32; ++page)
        CHECK(tlb.lookup(PageNumber{page}, {1, 0}, Access::kRead)->frame_of(PageNumber{page}) ==
              FrameNumber{160 + page - 16});
    CHECK_FALSE(hits(tlb, 15));
    CHECK_FALSE(hits(tlb, 32));
    const auto address = rmap::address_of(PageNumber{16 + 9});
    CHECK(invalidate(tlb, {TlbOperation::Kind::kInvlpg, 1, address, {}}) == 1);
    CHECK_FALSE(hits(tlb, 16));
    CHECK(hits(tlb, 3));
}

TEST_CASE("tlb array: of several sizes that answer the largest does", "[unit][tlb]") {
    TlbArray tlb(split_tlb({8, 2}, {4, 2}));
    tlb.insert(PageNumber{512 + 7}, {1, 0}, to(10));
    tlb.insert(PageNumber{512}, {1, 0}, large_to(1024));
    CHECK(tlb.lookup(PageNumber{512 + 7}, {1, 0}, Access::kRead)->frame == FrameNumber{1024});
}

TEST_CASE("tlb array: one space too many takes the place of the least recently used",
          "[unit][tlb]") {
    auto config = split_tlb({16, 16}, {4, 4});
    config.live_spaces = 2;
    TlbArray tlb(config);
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    tlb.insert(PageNumber{512}, {1, 0}, large_to(512));
    tlb.insert(PageNumber{1}, {1, 0}, global_to(11));
    tlb.insert(PageNumber{0}, {2, 0}, to(12));
    const auto gone = tlb.insert(PageNumber{0}, {1, 7}, to(13));  // PCID 1 of a guest
    REQUIRE(gone.space);
    CHECK(*gone.space == models::TlbTag(1, 0));
    CHECK_FALSE(gone.evicted);
    CHECK_FALSE(hits(tlb, 0, 1));
    CHECK_FALSE(hits(tlb, 512, 1));
    CHECK(hits(tlb, 1, 1));  // global
    CHECK(hits(tlb, 0, 2));
    CHECK(hits(tlb, 0, 1, Access::kRead, 7));
    CHECK(tlb.stats().invalidated == 0);
}

TEST_CASE("tlb array: a space without entries leaves room for another", "[unit][tlb]") {
    auto config = split_tlb({16, 16}, {4, 4});
    config.live_spaces = 2;
    TlbArray tlb(config);
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    tlb.insert(PageNumber{0}, {2, 0}, to(11));
    CHECK(hits(tlb, 0, 1));
    invalidate(tlb, {TlbOperation::Kind::kInvpcidAddress, 2, {}, {}});  // maybe not all of it
    invalidate(tlb, {TlbOperation::Kind::kCr3Write, 1, {}, {}});
    CHECK_FALSE(tlb.insert(PageNumber{0}, {3, 0}, to(12)).space);
    CHECK(*tlb.insert(PageNumber{0}, {4, 0}, to(13)).space == models::TlbTag(2, 0));
}

TEST_CASE("tlb array: a page that is smaller than any array is for is not kept", "[unit][tlb]") {
    TlbArray tlb(tlb_of({{"large", {rmap::kLargeOrder}, {8, 8}}}));
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    CHECK_FALSE(hits(tlb, 0));
}

TEST_CASE("tlb array: an array without entries always misses", "[unit][tlb]") {
    TlbArray tlb(split_tlb({0, 0}, {0, 0}));
    tlb.insert(PageNumber{0}, {1, 0}, to(10));
    CHECK_FALSE(hits(tlb, 0));
    CHECK(invalidate(tlb, {TlbOperation::Kind::kAll, 0, {}, {}}) == 0);
}

}  // namespace mmusim::test
