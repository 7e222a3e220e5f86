// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "models/iommu/fault_recorder.hpp"
#include "models/iommu/pasid_cache.hpp"
#include "models/tlb/tlb_array.hpp"
#include "rmap/types/vtd.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::scope_of;
using models::TlbArray;
using models::Translation;
using rmap::Access;
using rmap::Instant;
using rmap::PageNumber;

namespace {

constexpr Instant kRead{100};

Translation translation(std::uint64_t frame, Instant read = kRead) {
    Translation result;
    result.frame = rmap::FrameNumber{frame};
    result.writable = true;
    result.dirty = true;
    result.read_at = read + rmap::picoseconds(50);
    result.oldest_read = read;
    return result;
}

TlbArray array() { return TlbArray(split_tlb({64, 4}, {8, 4})); }

bool hits(TlbArray& iotlb, std::uint64_t page, rmap::Pasid pasid = 1,
          Access access = Access::kRead) {
    return iotlb.lookup(PageNumber{page}, {pasid, 0}, access) != nullptr;
}

rmap::VirtRange pages(std::uint64_t first, std::uint64_t last) {
    return {rmap::address_of(PageNumber{first}), rmap::address_of(PageNumber{last + 1})};
}

}  // namespace

TEST_CASE("iotlb array: entries answer for their PASID only", "[unit][iommu]") {
    auto iotlb = array();
    iotlb.insert(PageNumber{5}, {1, 0}, translation(10));
    CHECK(hits(iotlb, 5, 1));
    CHECK_FALSE(hits(iotlb, 5, 2));
    CHECK_FALSE(hits(iotlb, 6, 1));
    iotlb.insert(PageNumber{5}, {0xfffff, 0}, translation(11));
    CHECK(iotlb.lookup(PageNumber{5}, {0xfffff, 0}, Access::kRead)->frame == rmap::FrameNumber{11});
    CHECK(iotlb.lookup(PageNumber{5}, {1, 0}, Access::kRead)->frame == rmap::FrameNumber{10});
}

TEST_CASE("iotlb array: a write needs a writable entry that is known to be dirty",
          "[unit][iommu]") {
    auto iotlb = array();
    auto clean = translation(10);
    clean.dirty = false;
    auto read_only = translation(11);
    read_only.writable = false;
    iotlb.insert(PageNumber{1}, {1, 0}, clean);
    iotlb.insert(PageNumber{2}, {1, 0}, read_only);
    CHECK(hits(iotlb, 1));
    CHECK_FALSE(hits(iotlb, 1, 1, Access::kWrite));
    CHECK_FALSE(hits(iotlb, 2, 1, Access::kWrite));
    CHECK(iotlb.stats().misses == 2);
}

TEST_CASE("iotlb array: an invalidation drops exactly the pages of its range", "[unit][iommu]") {
    auto iotlb = array();
    for (std::uint64_t page = 0; page < 16; ++page)
        iotlb.insert(PageNumber{page}, {1, 0}, translation(page));
    iotlb.insert(PageNumber{5}, {2, 0}, translation(99));
    CHECK(iotlb.invalidate(scope_of(1, pages(4, 7), kRead)) == 4);
    for (std::uint64_t page = 0; page < 16; ++page) {
        CAPTURE(page);
        CHECK(hits(iotlb, page) == (page < 4 || page > 7));
    }
    CHECK(hits(iotlb, 5, 2));
    CHECK(iotlb.invalidate(scope_of(1, rmap::kAllAddresses, kRead)) == 12);
    CHECK(hits(iotlb, 5, 2));
    CHECK(iotlb.stats().invalidated == 16);
}

TEST_CASE("iotlb array: ranges too long to look up page by page drop the same", "[unit][iommu]") {
    for (const std::uint64_t length : {63, 64, 65, 66}) {
        CAPTURE(length);
        auto iotlb = array();
        const std::uint64_t first = 1000;
        for (const auto page : {first - 1, first, first + length - 1, first + length})
            iotlb.insert(PageNumber{page}, {1, 0}, translation(page));
        CHECK(iotlb.invalidate(scope_of(1, pages(first, first + length - 1), kRead)) == 2);
        CHECK(hits(iotlb, first - 1));
        CHECK(hits(iotlb, first + length));
    }
}

TEST_CASE("iotlb array: what was read after the invalidation stays", "[unit][iommu]") {
    auto iotlb = array();
    iotlb.insert(PageNumber{1}, {1, 0}, translation(1, Instant{200}));
    CHECK(iotlb.invalidate(scope_of(1, pages(1, 1), Instant{199})) == 0);
    CHECK(hits(iotlb, 1));
    // The walk's first read decides, not the one of the entry itself.
    CHECK(iotlb.invalidate(scope_of(1, pages(1, 1), Instant{200})) == 1);
    CHECK_FALSE(hits(iotlb, 1));
}

TEST_CASE("iotlb array: any page of a large one drops it whole", "[unit][iommu]") {
    auto iotlb = array();
    auto large = translation(1024);
    large.order = rmap::kLargeOrder;
    iotlb.insert(PageNumber{512 + 17}, {1, 0}, large);
    CHECK(hits(iotlb, 512));
    CHECK(hits(iotlb, 1023));
    CHECK_FALSE(hits(iotlb, 1024));
    CHECK(large.pages_around(PageNumber{512 + 17}) == pages(512, 1023));
    CHECK(iotlb.invalidate(scope_of(1, pages(700, 700), kRead)) == 1);
    CHECK_FALSE(hits(iotlb, 512));
}

TEST_CASE("iotlb array: a range over two large pages drops both", "[unit][iommu]") {
    auto iotlb = array();
    auto large = translation(1024);
    large.order = rmap::kLargeOrder;
    for (const unsigned page : {0, 512, 1024, 1536}) iotlb.insert(PageNumber{page}, {1, 0}, large);
    CHECK(iotlb.invalidate(scope_of(1, pages(1023, 1024), kRead)) == 2);
    CHECK(hits(iotlb, 511));
    CHECK_FALSE(hits(iotlb, 512));
    CHECK_FALSE(hits(iotlb, 1535));
    CHECK(hits(iotlb, 1536));
}

TEST_CASE("pasid cache: entries are kept by device and dropped by PASID", "[unit][iommu]") {
    models::PasidCache cache({8, 4});
    models::PasidEntry entry;
    entry.first_level = rmap::PhysAddr{0x5000};
    entry.oldest_read = Instant{100};
    cache.insert(0x310, 7, entry);
    cache.insert(0x318, 7, entry);
    cache.insert(0x310, 8, entry);
    REQUIRE(cache.lookup(0x310, 7));
    CHECK(cache.lookup(0x310, 7)->first_level.value == 0x5000);
    CHECK_FALSE(cache.lookup(0x320, 7));
    CHECK(cache.invalidate(7, Instant{99}) == 0);
    CHECK(cache.invalidate(7, Instant{100}) == 2);
    CHECK_FALSE(cache.lookup(0x318, 7));
    CHECK(cache.lookup(0x310, 8));
}

TEST_CASE("fault recorder: faults beyond the registers are lost and leave the overflow bit",
          "[unit][iommu]") {
    models::FaultRecorder faults(2);
    models::FaultRecord fault;
    for (rmap::Pasid pasid = 1; pasid <= 2; ++pasid) {
        fault.pasid = pasid;
        faults.record(fault);
    }
    CHECK_FALSE(faults.overflow());
    fault.pasid = 3;
    faults.record(fault);
    CHECK(faults.overflow());
    REQUIRE(faults.records().size() == 2);
    CHECK(faults.records()[1].pasid == 2);
}

TEST_CASE("vtd: ranges of ATS requests are what was encoded", "[unit][iommu]") {
    for (unsigned order = 0; order <= 20; ++order) {
        CAPTURE(order);
        const rmap::VirtAddr address{0x7f1234567000};
        const auto range = rmap::AtsRange::decode(rmap::AtsRange::encode(address, order));
        CHECK(range == rmap::aligned_pages(address, order));
        CHECK(range.pages() == std::uint64_t{1} << order);
        CHECK(range.contains(address));
    }
}

}  // namespace mmusim::test
