// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n28_iotlb_before_device.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kClient = 7, kMm = 2, kVa = 0x1000, kEnd = 0x3000, kPasid = 5;
constexpr std::uint64_t kDevice = 0x100;
constexpr rmap::ActorId kIommu = 40;

struct Stream : EventStream {
    Stream() { in(rmap::operation_id(0, 17)); }
    Stream& call() {
        return on(0).emit(Event::kClientInvalidate, {kClient, kMm, kVa, kEnd}), *this;
    }
    Stream& ret() {
        return on(0).emit(Event::kClientInvalidateRet, {kClient, kMm, kVa, kEnd}), *this;
    }
    Stream& iotlb(std::uint64_t pasid = kPasid, std::uint64_t from = kVa, std::uint64_t to = kEnd) {
        return on(kIommu).emit(Event::kIotlbInvalidated, {pasid, from, to, 1}), *this;
    }
    Stream& request(std::uint64_t device = kDevice, std::uint64_t pasid = kPasid) {
        on(kIommu).emit(Event::kAtsInvalidateRequest, {device, pasid, kVa, kEnd});
        return *this;
    }
    Stream& done(std::uint64_t device = kDevice, std::uint64_t end = kEnd) {
        return on(kIommu).emit(Event::kAtsInvalidateDone, {device, kPasid, kVa, end}), *this;
    }
    Stream& of(std::uint64_t operation) { return in(rmap::operation_id(0, operation)), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<IotlbBeforeDeviceMonitor>(stream);
}

TEST_CASE("rule N28: IOTLB, device, answer and return pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().call().iotlb().request().done().ret());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().call().iotlb().ret()).judged == 0);  // a device without a TLB
    // Two devices, and a PASID that is flushed as a whole.
    CHECK(
        judge(Stream().call().iotlb().request().done().request(0x200).done(0x200).ret()).violated ==
        0);
    CHECK(judge(Stream().call().iotlb(kPasid, 0, ~std::uint64_t{0}).request().done().ret())
              .violated == 0);
}

TEST_CASE("rule N28: a device that is asked before the IOTLB breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().call().request().done().iotlb().ret());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "device 0x100 was asked to invalidate pasid 5 [0x1000, 0x3000) before the IOTLB was, in "
          "client 7's invalidate_range of mm 2 [0x1000, 0x3000)");
    CHECK(verdict.breaches[0].actor == kIommu);
    CHECK(judge(Stream().call().iotlb(kPasid + 1).request().done().ret()).violated == 1);
    CHECK(judge(Stream().call().iotlb(kPasid, kEnd, 0x9000).request().done().ret()).violated == 1);
    CHECK(judge(Stream().iotlb().call().request().done().ret()).violated == 1);
    CHECK(judge(Stream().call().of(18).iotlb().of(17).request().done().ret()).violated == 1);
}

TEST_CASE("rule N28: a callback that returns before the answer breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().call().iotlb().request().ret().done());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 7 returned from invalidate_range of mm 2 [0x1000, 0x3000) before device 0x100 "
          "had answered for pasid 5 [0x1000, 0x3000)");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(10));
    // The answer of another device, for another range, or to one of two requests.
    CHECK(judge(Stream().call().iotlb().request().done(0x200).ret()).violated == 1);
    CHECK(judge(Stream().call().iotlb().request().done(kDevice, 0x2000).ret()).violated == 1);
    CHECK(judge(Stream().call().iotlb().request().request().done().ret()).violated == 1);
    CHECK(judge(Stream().call().iotlb().request().of(18).done().of(17).ret()).violated == 1);
}

TEST_CASE("rule N28: each callback invalidates for itself", "[unit][oracle]") {
    CHECK(judge(Stream().call().iotlb().request().done().ret().call().request().done().ret())
              .violated == 1);
    // Outside a callback nothing is judged.
    CHECK(judge(Stream().request().done()).judged == 0);
    CHECK(judge(Stream().call().ret().request().done()).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
