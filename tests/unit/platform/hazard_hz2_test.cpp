// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz2_lost_mapping.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& visit() { return emit(Event::kTryToUnmapOne, {kPfn, kMm, kVa, 0x40}), *this; }
    Stream& clear() { return emit(Event::kPtepClearFlush, {kMm, kVa, 0, 0x67, kPfn, 4}), *this; }
    Stream& store(Event how) { return emit(how, {kMm, kVa, 0, 0x20}), *this; }
    Stream& uncount() { return emit(Event::kPageRemoveRmap, {kPfn, 0, 0}), *this; }
    Stream& ret(std::uint64_t ret = 0) { return emit(Event::kTryToUnmapOneRet, {ret}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<LostMappingMonitor>(stream);
}

TEST_CASE("hazard HZ2: an entry that is cleared and still counted at the end is lost",
          "[unit][oracle]") {
    const auto found = judge(Stream().visit().clear().ret().visit().clear().ret());
    CHECK(found.count() == 2);
    CHECK(found.first().time == rmap::Instant{20'000});
    CHECK(found.first().what == "mm 2 va 0x1000 lost pfn 0x1a2b, which still counts the mapping");
    CHECK(found.first().translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(found.total_window().ps == 0);
}

TEST_CASE("hazard HZ2: an entry that is put back is not lost", "[unit][oracle]") {
    for (const Event how : {Event::kPteRestore, Event::kPteRestoreLazyfree})
        CHECK(judge(Stream().visit().clear().store(how).ret()).count() == 0);
}

TEST_CASE("hazard HZ2: an entry whose mapping is not counted any more is not lost",
          "[unit][oracle]") {
    CHECK(judge(Stream().visit().clear().uncount().ret(1)).count() == 0);
    CHECK(judge(Stream().visit().clear().store(Event::kPteSetSwap).uncount().ret(1)).count() == 0);
}

TEST_CASE("hazard HZ2: a visit that clears nothing is none", "[unit][oracle]") {
    CHECK(judge(Stream().visit().ret()).count() == 0);
    CHECK(judge(Stream().clear().visit().ret()).count() == 0);
    CHECK(judge(Stream().visit().by(1).clear().by(0).ret()).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
