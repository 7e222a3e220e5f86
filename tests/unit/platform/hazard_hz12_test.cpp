// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz12_pinned_lazyfree.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream() { emit(Event::kShrinkPageList, {1}); }
    Stream& unmap(Event walk = Event::kRmapWalkAnon) {
        return emit(Event::kTryToUnmap, {kPfn, 0x40}).emit(walk, {kPfn, 0}), *this;
    }
    Stream& clear() { return emit(Event::kPteClearDefer, {kMm, kVa, 0, 0x25, kPfn, 4}), *this; }
    Stream& store(Event how) { return emit(how, {kMm, kVa, 0, 0x20}), *this; }
    Stream& uncount() { return emit(Event::kPageRemoveRmap, {kPfn, 0, 0}), *this; }
    Stream& ret(std::uint64_t ret = 1) { return emit(Event::kTryToUnmapRet, {ret}), *this; }
    Stream& discard() { return unmap().clear().uncount().ret(); }
    Stream& free(std::uint64_t pfn = kPfn) { return emit(Event::kPageFree, {pfn, 0, 4}), *this; }
    Stream& end() { return emit(Event::kShrinkPageListRet, {0}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<PinnedLazyfreeMonitor>(stream);
}

TEST_CASE("hazard HZ12: a page that is discarded and then kept has another user",
          "[unit][oracle]") {
    const auto found = judge(Stream().discard().end());
    REQUIRE(found.count() == 1);
    CHECK(found.first().time == rmap::Instant{40'000});
    CHECK(found.first().window == rmap::nanoseconds(30));
    CHECK(found.first().what ==
          "mm 2 va 0x1000 lost pfn 0x1a2b, to which somebody holds a reference");
    CHECK(found.first().translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(judge(Stream().discard().free(kPfn + 1).end()).count() == 1);
}

TEST_CASE("hazard HZ12: a page that is freed with its list is none", "[unit][oracle]") {
    CHECK(judge(Stream().discard().free().end()).count() == 0);
    CHECK(judge(Stream().discard().by(1).free().by(0).end()).count() == 0);
}

TEST_CASE("hazard HZ12: a page that leaves an entry behind is not discarded", "[unit][oracle]") {
    for (const Event how : {Event::kPteSetSwap, Event::kPteSetMigration})
        CHECK(judge(Stream().unmap().clear().store(how).uncount().ret().end()).count() == 0);
    // Written to meanwhile, and put back.
    CHECK(judge(Stream().unmap().clear().store(Event::kPteRestoreLazyfree).ret(0).end()).count() ==
          0);
}

TEST_CASE("hazard HZ12: a page that is still mapped elsewhere is not lost", "[unit][oracle]") {
    CHECK(judge(Stream().unmap().clear().uncount().ret(0).end()).count() == 0);
}

TEST_CASE("hazard HZ12: pages of files and pages outside of reclaim are none", "[unit][oracle]") {
    CHECK(judge(Stream().unmap(Event::kRmapWalkFile).clear().uncount().ret().end()).count() == 0);
    CHECK(judge(Stream().end().discard().end()).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
