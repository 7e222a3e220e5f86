// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n5_locked_section.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kLock = 0x40, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& start(std::uint64_t ret = 0) {
        emit(Event::kMnStart, {kMm, kVa, kEnd, 1});
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, ret}), *this;
    }
    Stream& end() { return emit(Event::kMnEnd, {kMm, kVa, kEnd, 0}), *this; }
    Stream& sem(std::uint64_t mm = kMm) { return emit(Event::kMmapSemLock, {mm, 1}), *this; }
    Stream& no_sem(std::uint64_t mm = kMm) { return emit(Event::kMmapSemUnlock, {mm, 1}), *this; }
    Stream& downgrade() { return emit(Event::kMmapSemDowngrade, {kMm}), *this; }
    Stream& lock(std::uint64_t lock = kLock) { return emit(Event::kRmapLock, {lock}), *this; }
    Stream& unlock(std::uint64_t lock = kLock) { return emit(Event::kRmapUnlock, {lock}), *this; }
    Stream& lock_anon() { return emit(Event::kLockAnonVmaRead, {kPfn}), *this; }
    Stream& walk_ret() { return emit(Event::kRmapWalkAnonRet), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<LockedSectionMonitor>(stream, vocabulary);
}

TEST_CASE("rule N5: sections under mmap_sem or a lock of the reverse map pass", "[unit][oracle]") {
    CHECK(judge(Stream().sem().start().end().no_sem()).judged == 1);
    CHECK(judge(Stream().sem().start().end().no_sem()).violated == 0);
    CHECK(judge(Stream().lock().start().end().unlock()).violated == 0);
    CHECK(judge(Stream().lock_anon().start().end().unlock().walk_ret()).violated == 0);
    // munmap takes rmap locks inside its section; a walk visits several VMAs under one lock.
    CHECK(judge(Stream().sem().start().lock().unlock().end().no_sem()).violated == 0);
    CHECK(judge(Stream().lock().start().end().start().end().unlock()).violated == 0);
    CHECK(judge(Stream().sem().start(1).no_sem()).violated == 0);  // refused
    CHECK(judge(Stream().sem().downgrade().start().end().no_sem()).violated == 0);
}

TEST_CASE("rule N5: a START without a lock breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().end());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "START of mm 2 [0x1000, 0x3000) without mmap_sem or a lock of the reverse map");
    CHECK(judge(Stream().sem(kMm + 1).start().end()).violated == 1);
    CHECK(judge(Stream().sem().by(1).start().end()).violated == 1);
    CHECK(judge(Stream().lock().unlock().start().end()).violated == 1);
    CHECK(judge(Stream().lock_anon().unlock().start().end()).violated == 1);
    CHECK(judge(Stream().lock_anon().walk_ret().start().end()).violated == 1);
}

TEST_CASE("rule N5: an unlock inside the section breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().sem().start().no_sem().end());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() == "mmap_sem was dropped inside the section of mm 2 [0x1000, 0x3000)");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(20));
    CHECK(judge(Stream().lock().start().unlock().end()).missing() ==
          "the lock of the reverse map was dropped inside the section of mm 2 [0x1000, 0x3000)");
    CHECK(judge(Stream().lock_anon().start().unlock().end()).violated == 1);
    // The other lock still holds the section.
    CHECK(judge(Stream().sem().lock().start().unlock().end().no_sem()).violated == 0);
    CHECK(judge(Stream().sem().lock().start().unlock().no_sem().end()).violated == 1);
    // Taken twice.
    CHECK(judge(Stream().sem().sem().start().no_sem().end().no_sem()).violated == 0);
}

TEST_CASE("rule N5: a stream without mmap_sem is not judged", "[unit][oracle]") {
    CHECK(judge(Stream().start().end(), Vocabulary::kCapture50).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
