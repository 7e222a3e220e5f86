// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/rules/n11_notified_before_free.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x2000, kPfn = 0x1a2b, kLock = 0x40;

struct Stream : EventStream {
    Stream& start() {
        emit(Event::kMnStart, {kMm, kVa, kEnd, 1});
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, 0}), *this;
    }
    Stream& end(std::uint64_t only = 0) {
        emit(Event::kMnEnd, {kMm, kVa, kEnd, only});
        return emit(Event::kMnEndRet, {kMm, kVa, kEnd}), *this;
    }
    Stream& lock() { return emit(Event::kPtlLock, {kLock}), *this; }
    Stream& unlock() { return emit(Event::kPtlUnlock, {kLock}), *this; }
    Stream& clear(Event how = Event::kPtepClearFlush, std::uint64_t pfn = kPfn,
                  std::uint64_t va = kVa) {
        return emit(how, {kMm, va, 0, 0x67, pfn, 4}), *this;
    }
    Stream& swap() { return emit(Event::kPteSetSwap, {kMm, kVa, 0, 0x3e}), *this; }
    Stream& migrate() { return emit(Event::kPteSetMigration, {kMm, kVa, 0, 0x3e}), *this; }
    Stream& restore() { return emit(Event::kPteRestore, {kMm, kVa, 0, 0x67}), *this; }
    Stream& invalidate(std::uint64_t from = kVa, std::uint64_t to = kEnd, std::uint64_t mm = kMm) {
        return emit(Event::kMnInvalidateRange, {mm, from, to}), *this;
    }
    Stream& walk() { return emit(Event::kPageVmaMappedWalk, {kPfn, kMm, kVa, 0}), *this; }
    Stream& free(std::uint64_t order = 0, std::uint64_t pfn = kPfn) {
        return emit(Event::kPageFree, {pfn, order, 4}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<NotifiedBeforeFreeMonitor>(stream);
}

TEST_CASE("rule N11: swap-out with invalidate_range under the lock passes", "[unit][oracle]") {
    for (const Event how : {Event::kPtepClearFlush, Event::kPteClearDefer}) {
        const auto verdict =
            judge(Stream().start().lock().clear(how).swap().invalidate().unlock().end().free());
        CHECK(verdict.judged == 2);  // the swap entry and the free
        CHECK(verdict.violated == 0);
    }
    // Without locks in the stream, as in a capture.
    CHECK(judge(Stream().start().clear().swap().invalidate().walk().end().free()).violated == 0);
}

TEST_CASE("rule N11: swap-out without invalidate_range under the lock breaks it",
          "[unit][oracle]") {
    const auto verdict = judge(Stream().start().lock().clear().swap().unlock().end().free());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "no invalidate_range for mm 2 va 0x1000 between its clear at 40 ns and the unlock of the "
          "page table");
    CHECK(verdict.breaches[0].translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(judge(Stream().start().clear().swap().walk().end()).violated == 1);
    CHECK(judge(Stream().start().clear().swap().end()).violated == 1);
    CHECK(judge(Stream().start().lock().clear().swap().unlock().invalidate().end()).violated == 1);
    CHECK(judge(Stream().start().lock().invalidate().clear().swap().unlock().end()).violated == 1);
    CHECK(judge(Stream().start().lock().clear().swap().invalidate(kEnd, kEnd + 0x1000).unlock())
              .violated == 1);
    CHECK(
        judge(Stream().start().lock().clear().swap().invalidate(kVa, kEnd, 3).unlock()).violated ==
        1);
    CHECK(
        judge(Stream().start().lock().clear().swap().by(1).invalidate().by(0).unlock()).violated ==
        1);
    // Two entries under one lock: the second one's does not stand for the first one.
    CHECK(judge(Stream().start().lock().clear().swap().clear(Event::kPteClearDefer, 7, 0x9000))
              .violated == 1);
}

TEST_CASE("rule N11: file pages, migration and munmap may leave it to END", "[unit][oracle]") {
    CHECK(judge(Stream().start().lock().clear().unlock().end().free()).violated == 0);
    CHECK(judge(Stream().start().lock().clear().migrate().unlock().end().free()).violated == 0);
    const auto munmap =
        judge(Stream().start().lock().clear(Event::kPteClear).unlock().end().invalidate().free());
    CHECK(munmap.judged == 1);
    CHECK(munmap.violated == 0);
    // A gather that is full frees inside the section, after a flush of its own.
    CHECK(judge(Stream().start().clear(Event::kPteClear).invalidate().free().end()).violated == 0);
    CHECK(judge(Stream().start().clear().invalidate().end(1).free()).violated == 0);  // COW
}

TEST_CASE("rule N11: a page freed before any invalidate_range breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().clear(Event::kPteClear).free().end());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "pfn 0x1a2b was freed before any invalidate_range for mm 2 va 0x1000, which was cleared "
          "at 30 ns");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(10));
    CHECK(judge(Stream().start().clear().end(1).free()).violated == 1);
    CHECK(judge(Stream().start().invalidate().clear().free()).violated == 1);
    CHECK(judge(Stream().start().clear().invalidate(kVa, kEnd, 3).free()).violated == 1);
    CHECK(judge(Stream().start().clear().invalidate(0, kVa).free()).violated == 1);
    // One of two mappings.
    CHECK(judge(Stream().start().clear().clear(Event::kPteClear, kPfn, 0x9000).invalidate().free())
              .violated == 1);
    // As a part of a larger page.
    CHECK(judge(Stream().start().clear().free(3, kPfn & ~7ull)).violated == 1);
    CHECK(judge(Stream().start().clear().free(1, kPfn + 1)).judged == 0);
}

TEST_CASE("rule N11: an END counts when it returns, for what was cleared before it",
          "[unit][oracle]") {
    Stream calling;
    calling.start().clear().emit(Event::kMnEnd, {kMm, kVa, kEnd, 0});
    CHECK(judge(calling.by(1).free()).violated == 1);
    Stream later;
    later.start().emit(Event::kMnEnd, {kMm, kVa, kEnd, 0});
    later.by(1).clear().by(0).emit(Event::kMnEndRet, {kMm, kVa, kEnd});
    CHECK(judge(later.free()).violated == 1);
}

TEST_CASE("rule N11: an entry that was restored owes nothing", "[unit][oracle]") {
    CHECK(judge(Stream().start().clear().restore().end(1).free()).violated == 0);
}

TEST_CASE("rule N11: without notifiers and in the next life nothing is judged", "[unit][oracle]") {
    CHECK(judge(Stream().clear().swap().walk().free()).judged == 0);
    const auto verdict = judge(Stream().start().clear().end().free().free());
    CHECK(verdict.judged == 1);
    CHECK(judge(Stream().start().clear().free().free()).violated == 1);
}

TEST_CASE("rule N11: forgets the oldest clears of a stream without end", "[unit][oracle]") {
    Stream stream;
    stream.start();
    for (std::uint64_t i = 0; i <= kMonitorCapacity + 1; ++i)
        stream.clear(Event::kPteClear, i, 0x100000 + i * 0x1000);
    CHECK(judge(stream.free(0, 0)).judged == 0);
    CHECK(judge(stream.free(0, 1)).judged == 0);
    CHECK(judge(stream.free(0, 2)).violated == 1);
}

}  // namespace
}  // namespace mmusim::platform
