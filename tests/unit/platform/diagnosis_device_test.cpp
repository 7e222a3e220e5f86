// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/unit/platform/diagnosis_bench.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;

constexpr std::uint64_t kPasid = 9, kClient = 7, kDevice = 0x100;
constexpr rmap::ActorId kReclaimer = 0, kIommu = 40, kAtc = 42;

/// What led to a device reading pfn 0x1a2b at 1300 ns, though core 0 had freed it at 1250 ns.
struct Story : test::EventStream {
    Story() { at(1000).in(kUnmap); }
    Story& clear(std::uint64_t mm = kMm, std::uint64_t address = kVa) {
        on(kReclaimer).emit(Event::kPtepClearFlush, {mm, address, 0, 0x67, kPfn, kGen});
        return *this;
    }
    Story& call(std::uint64_t from = kVa, std::uint64_t to = kEnd, std::uint64_t mm = kMm) {
        return on(kReclaimer).emit(Event::kClientInvalidate, {kClient, mm, from, to}), *this;
    }
    Story& ret() {
        on(kReclaimer).emit(Event::kClientInvalidateRet, {kClient, kMm, kVa, kEnd});
        return *this;
    }
    Story& iotlb(std::uint64_t from = kVa, std::uint64_t to = kEnd) {
        return on(kIommu).emit(Event::kIotlbInvalidated, {kPasid, from, to, 1}), *this;
    }
    Story& device(std::uint64_t from = kVa, std::uint64_t to = kEnd, rmap::ActorId actor = kAtc) {
        return on(actor).emit(Event::kAtcInvalidated, {kDevice, kPasid, from, to}), *this;
    }
    Story& complete(std::uint64_t in_flight = 0) {
        on(kAtc).emit(Event::kAtsInvalidateCompletion, {kDevice, kPasid, kVa, kEnd, in_flight});
        return *this;
    }
    Story& of(std::uint64_t operation) { return in(rmap::operation_id(0, operation)), *this; }
    Story& time(std::uint64_t ns) { return at(ns), *this; }
};

StaleUse stale_use(std::uint64_t filled_ns = 500) {
    StaleUse use = stale_use_by(kDma, filled_ns);
    use.device_tlb = kAtc;
    return use;
}

Diagnosis diagnosis(const Story& story, const StaleUse& use = stale_use()) {
    return diagnose_after(story, use);
}
std::string missing(const Story& story, const StaleUse& use = stale_use()) {
    return diagnosis(story, use).missing;
}

TEST_CASE("diagnosis of a device: invalidate_range was not called", "[unit][oracle]") {
    const std::string none =
        "invalidate_range was not called for mm 2 va 0x100000003000 between its clear at 1000 ns "
        "and the free at 1250 ns";
    const auto result = diagnosis(Story().clear());
    CHECK(result.missing == none);
    CHECK(result.operation == rmap::operation_id(0, 17));
    CHECK(missing(Story().clear().call(kVa, kEnd, 3).iotlb().ret()) == none);
    // Of another operation before the clear.
    CHECK(missing(Story().time(900).of(16).call().ret().of(17).time(1000).clear()) == none);
}

TEST_CASE("diagnosis of a device: the PTE was cleared late, or elsewhere", "[unit][oracle]") {
    CHECK(missing(Story().time(1280).clear()) ==
          "the PTE of mm 2 va 0x100000003000 was cleared at 1280 ns, 30 ns after the free");
    CHECK(missing(Story().clear(8)) == "mis-tagged: used in mm 2, but what was cleared is of mm 8");
}

TEST_CASE("diagnosis of a device: invalidate_range came before the clear, too late, too narrow",
          "[unit][oracle]") {
    CHECK(missing(Story().call().iotlb().device().ret().clear()) ==
          "invalidate_range came at 1000 ns, before the PTE of mm 2 va 0x100000003000 was cleared "
          "at 1040 ns");
    CHECK(missing(Story().clear().time(1270).call()) ==
          "invalidate_range came at 1270 ns, 20 ns after the free");
    CHECK(missing(Story().clear().call(kEnd, kEnd + 0x1000).ret()) ==
          "invalidate_range [0x100000004000, 0x100000005000) at 1010 ns did not cover mm 2 va "
          "0x100000003000");
}

TEST_CASE("diagnosis of a device: the driver did not wait", "[unit][oracle]") {
    CHECK(missing(Story().clear().call().ret().time(1270).iotlb().device()) ==
          "the driver did not wait: invalidate_range returned at 1020 ns, the IOTLB was "
          "invalidated at 1270 ns");
    CHECK(missing(Story().clear().call().iotlb().ret().time(1310).device()) ==
          "the driver did not wait: invalidate_range returned at 1030 ns, the device TLB was "
          "invalidated at 1310 ns");
}

TEST_CASE("diagnosis of a device: one of the two was not invalidated", "[unit][oracle]") {
    CHECK(missing(Story().clear().call().ret()) ==
          "the IOTLB was not invalidated for the invalidate_range at 1010 ns");
    CHECK(missing(Story().clear().call().of(18).iotlb().of(17).ret()) ==
          "the IOTLB was not invalidated for the invalidate_range at 1010 ns");
    const std::string device =
        "the IOTLB was invalidated at 1020 ns but the device TLB of dma0 was not";
    CHECK(missing(Story().clear().call().iotlb().ret()) == device);
    CHECK(missing(Story().clear().call().iotlb().device(kVa, kEnd, kAtc + 1).ret()) == device);
}

TEST_CASE("diagnosis of a device: the hardware was told too narrow a range", "[unit][oracle]") {
    CHECK(missing(Story().clear().call(kVa - 0x1000, kEnd).iotlb(kVa - 0x1000, kVa).ret()) ==
          "the IOTLB was invalidated for [0x100000002000, 0x100000003000) at 1020 ns, which does "
          "not cover mm 2 va 0x100000003000");
    CHECK(missing(Story().clear().call().iotlb().device(kVa - 0x1000, kVa).ret()) ==
          "the device TLB was invalidated for [0x100000002000, 0x100000003000) at 1030 ns, which "
          "does not cover mm 2 va 0x100000003000");
}

TEST_CASE("diagnosis of a device: what the kernel's own descriptor misses is hazard HZ7",
          "[unit][oracle]") {
    StaleUse use = stale_use();
    use.access.page = rmap::page_of(rmap::VirtAddr{kEnd});
    // Two pages from an odd one on: the aligned block of two ends before the second.
    const auto with_iotlb = [&](std::uint64_t from, std::uint64_t to) {
        return diagnosis(Story().clear(kMm, kEnd).call(kVa, kEnd + 0x1000).iotlb(from, to).ret(),
                         use);
    };
    const auto hazard = with_iotlb(kVa - 0x1000, kEnd);
    CHECK(hazard.hazard == "HZ7");
    CHECK(hazard.missing ==
          "hazard HZ7: the IOTLB was invalidated for [0x100000002000, 0x100000004000) at 1020 ns, "
          "which does not cover mm 2 va 0x100000004000");
    CHECK(hazard.operation == kUnmap);
    // Still narrower is not the kernel's doing.
    const auto defect = with_iotlb(kVa, kEnd);
    CHECK(defect.hazard == "");
    CHECK(defect.missing.find("the IOTLB was invalidated for ") == 0);
}

TEST_CASE("diagnosis of a device: the device TLB before the IOTLB", "[unit][oracle]") {
    CHECK(missing(Story().clear().call().device().complete().iotlb().ret()) ==
          "the device TLB of dma0 was invalidated at 1020 ns, before the IOTLB at 1040 ns");
}

TEST_CASE("diagnosis of a device: the completion did not wait for the access", "[unit][oracle]") {
    CHECK(missing(Story().clear().call().iotlb().device().complete(2).ret()) ==
          "dma0 completed the invalidation at 1040 ns while 2 accesses were in flight");
}

TEST_CASE("diagnosis of a device: the device was late, kept the entry or filled it again",
          "[unit][oracle]") {
    CHECK(missing(Story().clear().call().iotlb().time(1290).device().complete()) ==
          "dma0 invalidated at 1290 ns, 40 ns after the free");
    const Story correct = Story().clear().call().iotlb().device().complete().ret();
    CHECK(missing(correct) ==
          "mis-tagged: dma0 invalidated [0x100000003000, 0x100000004000) at 1030 ns and kept the "
          "entry");
    CHECK(missing(correct, stale_use(1030)) ==
          "filled at 1030 ns from the PTE that was cleared at 1000 ns, after dma0 had invalidated "
          "[0x100000003000, 0x100000004000) at 1030 ns");
}

TEST_CASE("diagnosis of a device: admits what it has forgotten", "[unit][oracle]") {
    const std::string dropped = "unknown: history dropped";
    Story calls = Story().clear();
    for (std::size_t i = 0; i <= SecondaryHistory::kKept; ++i) calls.time(1100).call(0, 0x1000);
    CHECK(missing(calls) == dropped);
    Story hardware = Story().clear().call();
    for (std::size_t i = 0; i <= SecondaryHistory::kKept; ++i) hardware.time(1100).iotlb();
    CHECK(missing(hardware.ret()) == dropped);
}

}  // namespace
}  // namespace mmusim::platform
