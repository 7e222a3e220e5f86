// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz13_missed_mapping.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kPfn = 0x1a2b, kLock = 0x8000;
constexpr rmap::ActorId kReclaimer = 0, kOther = 1;

/// A reclaimer that unmaps a page, and another CPU that takes the same mapping away.
struct Stream : EventStream {
    Stream& unmap() { return on(kReclaimer).emit(Event::kTryToUnmap, {kPfn, 0x40}), *this; }
    Stream& pass(std::uint64_t address = kVa) {
        on(kReclaimer).emit(Event::kPageVmaMappedWalk, {kPfn, kMm, address, 0});
        return emit(Event::kPageVmaMappedWalkRet, {0}), *this;
    }
    Stream& look_under_lock() {
        on(kReclaimer).emit(Event::kPageVmaMappedWalk, {kPfn, kMm, kVa, 0});
        emit(Event::kPtlLock, {kLock}).emit(Event::kPtlUnlock, {kLock});
        return emit(Event::kPageVmaMappedWalkRet, {0}), *this;
    }
    Stream& ret(std::uint64_t ret) {
        return on(kReclaimer).emit(Event::kTryToUnmapRet, {ret}), *this;
    }
    Stream& clear(std::uint64_t pfn = kPfn) {
        return on(kOther).emit(Event::kPteClear, {kMm, kVa, 0, 0x67, pfn, 4}), *this;
    }
    Stream& uncount(std::uint64_t mapcount = 0) {
        return on(kOther).emit(Event::kPageRemoveRmap, {kPfn, 0, mapcount}), *this;
    }
};

Occurrences judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::occurrences<MissedMappingMonitor>(stream, vocabulary);
}

TEST_CASE("hazard HZ13: an entry that is cleared and still counted makes try_to_unmap fail",
          "[unit][oracle]") {
    const auto found = judge(Stream().unmap().clear().pass().ret(0).uncount());
    REQUIRE(found.count() == 1);
    CHECK(found.first().actor == kReclaimer);
    CHECK(found.first().time == rmap::Instant{50'000});
    CHECK(found.first().window == rmap::nanoseconds(10));
    CHECK(found.first().what ==
          "try_to_unmap of pfn 0x1a2b failed; its last mapping was cleared at 20 ns and counted "
          "until 60 ns");
    CHECK(found.first().translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    // The clear may come first, and its record may come after the look at the entry.
    CHECK(judge(Stream().clear().unmap().pass().ret(0).uncount()).count() == 1);
    CHECK(judge(Stream().unmap().pass().clear().ret(0).uncount()).count() == 1);
}

TEST_CASE("hazard HZ13: who waits for the lock misses nothing", "[unit][oracle]") {
    CHECK(judge(Stream().unmap().clear().look_under_lock().ret(0).uncount()).count() == 0);
}

TEST_CASE("hazard HZ13: a page that was unmapped all the same is none", "[unit][oracle]") {
    CHECK(judge(Stream().unmap().clear().pass().uncount().ret(1)).count() == 0);
}

TEST_CASE("hazard HZ13: a failure for another reason is none", "[unit][oracle]") {
    // Others map the page as well.
    CHECK(judge(Stream().unmap().clear().pass().ret(0).uncount(1)).count() == 0);
    CHECK(judge(Stream().unmap().clear().pass(kVa + 0x1000).ret(0).uncount()).count() == 0);
    CHECK(judge(Stream().unmap().clear(kPfn + 1).pass().ret(0).uncount()).count() == 0);
    // The entry was cleared after the failure.
    CHECK(judge(Stream().unmap().pass().ret(0).clear().uncount()).count() == 0);
    // Its own clear, such as one that was restored.
    Stream own = Stream().unmap().pass();
    own.emit(Event::kPteClear, {kMm, kVa, 0, 0x67, kPfn, 4}).emit(Event::kTryToUnmapRet, {0});
    CHECK(judge(*static_cast<Stream*>(&own.emit(Event::kPageRemoveRmap, {kPfn, 0, 0}))).count() ==
          0);
}

TEST_CASE("hazard HZ13: a stream without page-table locks cannot show it", "[unit][oracle]") {
    CHECK(judge(Stream().unmap().clear().pass().ret(0).uncount(), Vocabulary::kCapture50).count() ==
          0);
}

}  // namespace
}  // namespace mmusim::platform
