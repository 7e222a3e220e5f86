// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz7_unaligned_iotlb.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kClient = 7, kPasid = 9, kPage = 0x1000;
constexpr std::uint64_t kIotlb = 0x6, kDeviceTlb = 0x8;

struct Stream : EventStream {
    Stream& call(std::uint64_t from, std::uint64_t to) {
        emit(Event::kClientInvalidate, {kClient, kMm, from * kPage, to * kPage});
        return *this;
    }
    Stream& submit(std::uint64_t from, std::uint64_t to, std::uint64_t type = kIotlb) {
        return emit(Event::kQiSubmit, {1, type, kPasid, from * kPage, to * kPage}), *this;
    }
    Stream& ret() { return emit(Event::kClientInvalidateRet, {kClient, kMm, 0, 0}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<UnalignedIotlbMonitor>(stream);
}

TEST_CASE("hazard HZ7: the end of an unaligned range is missed", "[unit][oracle]") {
    // Pages 6 to 9 are four; the aligned block of four with page 6 is 4 to 7.
    const auto found = judge(Stream().call(6, 10).submit(4, 8).submit(4, 8, kDeviceTlb).ret());
    REQUIRE(found.count() == 1);
    CHECK(found.first().time == rmap::Instant{20'000});
    CHECK(found.first().what ==
          "client 7 invalidated [0x4000, 0x8000) in the IOTLB for mm 2 [0x6000, 0xa000)");
}

TEST_CASE("hazard HZ7: a call counts once however many devices it has", "[unit][oracle]") {
    CHECK(judge(Stream().call(6, 10).submit(4, 8).submit(4, 8).ret()).count() == 1);
    CHECK(judge(Stream().call(6, 10).submit(4, 8).ret().call(6, 10).submit(4, 8)).count() == 2);
}

TEST_CASE("hazard HZ7: a range that its aligned block contains is none", "[unit][oracle]") {
    CHECK(judge(Stream().call(4, 8).submit(4, 8).ret()).count() == 0);
    CHECK(judge(Stream().call(4, 7).submit(4, 8).ret()).count() == 0);
    CHECK(judge(Stream().call(5, 8).submit(4, 8).ret()).count() == 0);
    CHECK(judge(Stream().call(7, 8).submit(7, 8).ret()).count() == 0);
}

TEST_CASE("hazard HZ7: a narrower descriptor than the kernel's is no hazard but a defect",
          "[unit][oracle]") {
    CHECK(judge(Stream().call(6, 10).submit(6, 8).ret()).count() == 0);
}

TEST_CASE("hazard HZ7: only the IOTLB's descriptors of the same CPU and call count",
          "[unit][oracle]") {
    CHECK(judge(Stream().call(6, 10).submit(4, 8, kDeviceTlb).ret()).count() == 0);
    CHECK(judge(Stream().call(6, 10).by(1).submit(4, 8).ret()).count() == 0);
    CHECK(judge(Stream().call(6, 10).ret().submit(4, 8)).count() == 0);
}

TEST_CASE("hazard HZ7: the block of a range", "[unit][oracle]") {
    const auto block = [](std::uint64_t from, std::uint64_t to) {
        const auto range = svm_iotlb_block({{from * kPage}, {to * kPage}});
        return std::pair{range.start.value / kPage, range.end.value / kPage};
    };
    using Pages = std::pair<std::uint64_t, std::uint64_t>;
    CHECK(block(6, 10) == Pages{4, 8});
    CHECK(block(6, 7) == Pages{6, 7});
    CHECK(block(7, 10) == Pages{4, 8});
    CHECK(block(8, 13) == Pages{8, 16});
    CHECK(svm_iotlb_block(rmap::kAllAddresses) == rmap::kAllAddresses);
}

}  // namespace
}  // namespace mmusim::platform
