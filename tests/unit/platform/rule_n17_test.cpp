// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n17_completed_invalidation.hpp"
#include "rmap/types/vtd.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using rmap::QiType;
using test::EventStream;

constexpr std::uint64_t kClient = 7, kMm = 2, kVa = 0x1000, kEnd = 0x3000, kPasid = 5;
constexpr std::uint64_t kDevice = 0x100;
constexpr rmap::ActorId kCpu = 0, kIommu = 40, kDma = 41;

constexpr std::uint64_t value(QiType type) { return static_cast<std::uint64_t>(type); }

struct Stream : EventStream {
    Stream() { in(rmap::operation_id(0, 17)); }
    Stream& call(std::uint64_t start = kVa, std::uint64_t end = kEnd,
                 std::uint64_t client = kClient) {
        return on(kCpu).emit(Event::kClientInvalidate, {client, kMm, start, end}), *this;
    }
    Stream& ret() {
        return on(kCpu).emit(Event::kClientInvalidateRet, {kClient, kMm, kVa, kEnd}), *this;
    }
    Stream& submit(std::uint64_t sequence, QiType type = QiType::kPasidIotlb) {
        on(kCpu).emit(Event::kQiSubmit, {sequence, value(type), kPasid, kVa, kEnd});
        return *this;
    }
    Stream& submitted(std::uint64_t sequence) {
        return on(kCpu).emit(Event::kQiSubmitRet, {sequence}), *this;
    }
    Stream& fetch(std::uint64_t index, QiType type = QiType::kPasidIotlb,
                  std::uint64_t pasid = kPasid) {
        return on(kIommu).emit(Event::kIommuDescriptor, {index, value(type), pasid, kVa, kEnd}),
               *this;
    }
    Stream& fetch_wait(std::uint64_t index) {
        return on(kIommu).emit(Event::kIommuDescriptor, {index, value(QiType::kInvalidationWait)}),
               *this;
    }
    Stream& done(std::uint64_t index) {
        return on(kIommu).emit(Event::kIommuWaitDone, {index, 0x2000}), *this;
    }
    Stream& flushed(std::uint64_t start = kVa, std::uint64_t end = kEnd,
                    std::uint64_t pasid = kPasid) {
        return on(kIommu).emit(Event::kIotlbInvalidated, {pasid, start, end, 1}), *this;
    }
    Stream& complete(std::uint64_t in_flight, std::uint64_t start = kVa, std::uint64_t end = kEnd) {
        on(kDma).emit(Event::kAtsInvalidateCompletion, {kDevice, kPasid, start, end, in_flight});
        return *this;
    }
    /// One that has been waited for.
    Stream& submission(QiType type = QiType::kPasidIotlb) {
        ++submissions;
        submit(submissions, type).fetch(2 * submissions, type).fetch_wait(2 * submissions + 1);
        return done(2 * submissions + 1).submitted(submissions);
    }
    /// A callback that invalidates the IOTLB and then the device's TLB.
    Stream& whole() {
        call().submission().flushed();
        return submission(QiType::kPasidDeviceTlb).complete(0).ret();
    }
    Stream& of(std::uint64_t operation) { return in(rmap::operation_id(0, operation)), *this; }

    std::uint64_t submissions = 0;
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<CompletedInvalidationMonitor>(stream);
}

TEST_CASE("rule N17: submissions that are waited for pass", "[unit][oracle]") {
    Stream stream;
    stream.call().submit(1).fetch(0).flushed().fetch_wait(1).done(1).submitted(1);
    stream.submit(2, QiType::kPasidDeviceTlb).fetch(2, QiType::kPasidDeviceTlb).fetch_wait(3);
    stream.complete(0).done(3).submitted(2).ret();
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    // A client without hardware behind it has nothing to wait for.
    CHECK(judge(Stream().call().ret()).judged == 0);
}

TEST_CASE("rule N17: a submission that is only posted breaks it", "[unit][oracle]") {
    const std::string missing =
        "client 7's invalidate_range of mm 2 [0x1000, 0x3000) did not wait for its submission 1 of "
        "pasid 5 [0x1000, 0x3000)";
    const auto verdict = judge(Stream().call().submit(1).submitted(1).ret());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() == missing);
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(20));
    CHECK(judge(Stream().call().submit(1).fetch(0).fetch_wait(1).submitted(1).ret()).violated == 1);
    CHECK(judge(Stream().call().submit(1).ret().fetch(0).fetch_wait(1).done(1)).violated == 1);
    // By luck it is done before the callback returns, but nobody has looked.
    CHECK(judge(Stream().call().submit(1).fetch(0).fetch_wait(1).submitted(1).done(1).ret())
              .missing() == missing);
}

TEST_CASE("rule N17: a wait status stands for what was fetched before it", "[unit][oracle]") {
    // Of the wait descriptor of another submission that was queued before.
    CHECK(judge(Stream().call().submit(1).fetch_wait(1).fetch(2).done(1).submitted(1).ret())
              .violated == 1);
    // Two descriptors behind one wait.
    CHECK(judge(Stream()
                    .call()
                    .submit(1)
                    .submit(2)
                    .fetch(0)
                    .flushed()
                    .fetch(1)
                    .fetch_wait(2)
                    .done(2)
                    .submitted(1)
                    .submitted(2)
                    .ret())
              .violated == 0);
    // The first of two.
    CHECK(judge(Stream()
                    .call()
                    .submit(1)
                    .submit(2)
                    .fetch(0)
                    .fetch_wait(1)
                    .fetch(2)
                    .fetch_wait(3)
                    .done(1)
                    .submitted(1)
                    .submitted(2)
                    .ret())
              .missing()
              .find("submission 2") != std::string::npos);
}

TEST_CASE("rule N17: descriptors belong to submissions by operation, type and pasid",
          "[unit][oracle]") {
    const auto with_fetch = [](QiType type, std::uint64_t pasid, std::uint64_t operation) {
        Stream stream;
        stream.call().submit(1).of(operation).fetch(0, type, pasid).fetch_wait(1).done(1).of(17);
        return judge(stream.flushed().submitted(1).ret()).violated;
    };
    CHECK(with_fetch(QiType::kPasidIotlb, kPasid, 17) == 0);
    CHECK(with_fetch(QiType::kPasidDeviceTlb, kPasid, 17) == 1);
    CHECK(with_fetch(QiType::kPasidIotlb, kPasid + 1, 17) == 1);
    CHECK(with_fetch(QiType::kPasidIotlb, kPasid, 18) == 1);
}

TEST_CASE("rule N17: a completion with accesses in flight breaks it", "[unit][oracle]") {
    const auto with = [](std::uint64_t in_flight, std::uint64_t start, std::uint64_t operation) {
        Stream stream;
        stream.call().submit(1, QiType::kPasidDeviceTlb).fetch(0, QiType::kPasidDeviceTlb);
        stream.of(operation).complete(in_flight, start, start + 0x1000).of(17);
        stream.fetch_wait(1).done(1).submitted(1);
        return judge(stream.flushed().complete(0).ret());
    };
    const auto verdict = with(3, kVa, 17);
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 7's invalidate_range of mm 2 [0x1000, 0x3000) relied on the completion of device "
          "0x100 at 40 ns for [0x1000, 0x2000), sent with 3 accesses in flight");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(60));
    CHECK(with(0, kVa, 17).violated == 0);
    CHECK(with(3, kEnd, 17).violated == 0);
    CHECK(with(3, kVa, 18).violated == 0);
}

TEST_CASE("rule N17: submissions outside a callback are not judged", "[unit][oracle]") {
    CHECK(judge(Stream().submit(1).submitted(1)).judged == 0);
    // But they take the descriptors that are theirs.
    CHECK(
        judge(Stream().submit(1).call().submit(2).fetch(0).fetch_wait(1).done(1).submitted(2).ret())
            .violated == 1);
}

TEST_CASE("rule N17: a callback that submits nothing breaks it for a client with hardware",
          "[unit][oracle]") {
    const auto verdict = judge(Stream().whole().call().ret());
    CHECK(verdict.judged == 2);
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 7's invalidate_range of mm 2 [0x1000, 0x3000) invalidated nothing of pasid 5 "
          "[0x1000, 0x2000) in the IOTLB");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(10));
    // What others did meanwhile is not its own, nor what it did before or does later.
    CHECK(judge(Stream().whole().call().of(18).flushed().complete(0).of(17).ret()).violated == 1);
    CHECK(judge(Stream().whole().flushed().complete(0).call().ret()).violated == 1);
    CHECK(judge(Stream().whole().call().ret().flushed().complete(0)).violated == 1);
    CHECK(judge(Stream().whole().call(kVa, kEnd, kClient + 1).ret()).judged == 1);
}

TEST_CASE("rule N17: a device TLB that is left out breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().whole().call().submission().flushed().ret());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 7's invalidate_range of mm 2 [0x1000, 0x3000) invalidated nothing of pasid 5 "
          "[0x1000, 0x3000) in the TLB of device 0x100");
    CHECK(judge(Stream().whole().whole().whole()).violated == 0);
    // A device without a TLB.
    CHECK(judge(Stream().call().submission().flushed().ret()).violated == 0);
    // It is known from this very callback that there is one.
    CHECK(judge(Stream().call().submission().flushed().complete(0, kVa, 0x2000).ret()).violated ==
          1);
}

TEST_CASE("rule N17: an invalidation of less than the range breaks it", "[unit][oracle]") {
    constexpr std::uint64_t kBlock = 0x4000, kBlockEnd = 0x8000;
    const auto with = [](std::uint64_t iotlb_end, std::uint64_t device_end) {
        Stream stream;
        stream.call(kBlock, kBlockEnd).submission().flushed(kBlock, iotlb_end);
        return judge(stream.complete(0, kBlock, device_end).ret()).missing();
    };
    CHECK(with(kBlockEnd, kBlockEnd).empty());
    CHECK(with(0x5000, kBlockEnd) ==
          "client 7's invalidate_range of mm 2 [0x4000, 0x8000) invalidated only [0x4000, 0x5000) "
          "of pasid 5 [0x4000, 0x8000) in the IOTLB");
    CHECK(with(kBlockEnd, 0x5000) ==
          "client 7's invalidate_range of mm 2 [0x4000, 0x8000) invalidated only [0x4000, 0x5000) "
          "of pasid 5 [0x4000, 0x8000) in the TLB of device 0x100");
    // In two parts, and all of the PASID.
    Stream parts;
    parts.call(kBlock, kBlockEnd).submission().flushed(kBlock, 0x6000).flushed(0x6000, kBlockEnd);
    CHECK(judge(parts.complete(0, 0x6000, kBlockEnd).complete(0, kBlock, 0x6000).ret()).violated ==
          0);
    CHECK(judge(Stream().call().submission().flushed(0, ~std::uint64_t{0}).ret()).violated == 0);
    // Of another PASID.
    CHECK(judge(Stream().call().submission().flushed(kVa, kEnd, kPasid + 1).ret()).violated == 1);
}

TEST_CASE("rule N17: an empty range needs the wait only", "[unit][oracle]") {
    constexpr std::uint64_t kTop = ~std::uint64_t{0};
    const auto found = judge(Stream().call(kTop, kTop).submission().ret());
    CHECK(found.judged == 1);
    CHECK(found.violated == 0);
    CHECK(judge(Stream().call(kTop, kTop).submit(1).submitted(1).ret()).violated == 1);
}

TEST_CASE("rule N17: the IOTLB may keep what an unaligned descriptor misses", "[unit][oracle]") {
    const auto with = [](std::uint64_t iotlb_end, std::uint64_t device_end) {
        Stream stream;
        stream.call(0x3000, 0x6000).submission().flushed(0x3000, iotlb_end);
        return judge(stream.complete(0, 0x3000, device_end).ret()).missing();
    };
    CHECK(
        with(0x4000, 0x6000).empty());  // four pages from 0x3000 on: the hardware takes [0, 0x4000)
    CHECK(with(0x3800, 0x6000).find("of pasid 5 [0x3000, 0x4000) in the IOTLB") !=
          std::string::npos);
    CHECK(with(0x4000, 0x4000).find("of pasid 5 [0x3000, 0x6000) in the TLB of device") !=
          std::string::npos);
}

}  // namespace
}  // namespace mmusim::platform
