// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n15_invalidate_after_clear.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x3000, kPage = 0x1000, kLock = 0x40;

struct Stream : EventStream {
    Stream& lock(std::uint64_t lock = kLock) { return emit(Event::kPtlLock, {lock}), *this; }
    Stream& unlock(std::uint64_t lock = kLock) { return emit(Event::kPtlUnlock, {lock}), *this; }
    Stream& clear(std::uint64_t va = kVa) {
        return emit(Event::kPtepClearFlush, {kMm, va, 0, 0x67, 0x1a2b, 4}), *this;
    }
    Stream& invalidate(std::uint64_t from = kVa, std::uint64_t to = kVa + kPage,
                       std::uint64_t mm = kMm) {
        return emit(Event::kMnInvalidateRange, {mm, from, to}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<InvalidateAfterClearMonitor>(stream, vocabulary);
}

/// The mm is known to have notifiers.
Stream watched() {
    Stream stream;
    stream.emit(Event::kMnRegister, {1, kMm});
    return stream;
}

TEST_CASE("rule N15: invalidate_range after the clear passes", "[unit][oracle]") {
    const auto verdict = judge(watched().lock().clear().invalidate().unlock());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    // Both before and after, and the range of a gather.
    CHECK(judge(watched().lock().invalidate().clear().invalidate().unlock()).violated == 0);
    const auto gather =
        judge(watched().lock().clear().clear(kVa + kPage).invalidate(0, 0x9000).unlock());
    CHECK(gather.judged == 2);
    CHECK(gather.violated == 0);
}

TEST_CASE("rule N15: invalidate_range only before the clear breaks it", "[unit][oracle]") {
    const auto verdict = judge(watched().lock().invalidate().clear().unlock());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "invalidate_range for mm 2 va 0x3000 came before its clear at 40 ns and not again under "
          "the page-table lock");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(10));
    CHECK(verdict.breaches[0].translation == "mm 2 va 0x3000 -> pfn 0x1a2b gen 4");
    // Outside the lock, later, is another matter; so is another address.
    CHECK(judge(watched().lock().invalidate().clear().unlock().invalidate()).violated == 1);
    CHECK(judge(watched().lock().invalidate().clear().invalidate(0, kVa).unlock()).violated == 1);
    CHECK(judge(watched().lock().invalidate().clear().by(1).invalidate().by(0).unlock()).violated ==
          1);
    CHECK(judge(watched().lock(1).lock(2).invalidate().unlock(2).clear().unlock(1)).violated == 1);
}

TEST_CASE("rule N15: invalidate_range for other addresses may come first", "[unit][oracle]") {
    CHECK(judge(watched().lock().invalidate(0, kVa).clear().unlock()).judged == 0);
    CHECK(judge(watched().lock().invalidate(kVa + kPage, 0x9000).clear().unlock()).judged == 0);
    CHECK(judge(watched().lock().invalidate(kVa, kVa + kPage, 3).clear().unlock()).judged == 0);
    // Page after page, each with its own; an entry that is cleared twice.
    CHECK(judge(watched()
                    .lock()
                    .clear()
                    .invalidate()
                    .clear(kVa + kPage)
                    .invalidate(kVa + kPage, kVa + 2 * kPage)
                    .unlock())
              .violated == 0);
    CHECK(judge(watched().lock().clear().invalidate().clear().unlock()).violated == 0);
    // Ranges that touch or overlap count as one; the one before and after a gap do not.
    CHECK(judge(watched()
                    .lock()
                    .invalidate(kVa, kVa + kPage)
                    .invalidate(0, kVa)
                    .invalidate(kVa - kPage, kVa)
                    .clear()
                    .unlock())
              .violated == 1);
    CHECK(judge(watched()
                    .lock()
                    .invalidate(0, kVa)
                    .invalidate(kVa + kPage, kVa + 2 * kPage)
                    .clear()
                    .unlock())
              .judged == 0);
}

TEST_CASE("rule N15: a hold is a time of its own", "[unit][oracle]") {
    CHECK(judge(watched().lock().invalidate().unlock().lock().clear().unlock()).judged == 0);
    CHECK(judge(watched().invalidate().lock().clear().unlock()).judged == 0);
    CHECK(judge(watched().by(1).lock().invalidate().by(0).lock().clear().unlock()).judged == 0);
}

TEST_CASE("rule N15: without notifiers or locks in the stream nothing is judged",
          "[unit][oracle]") {
    CHECK(judge(Stream().lock().clear().unlock()).judged == 0);
    CHECK(judge(watched().lock().invalidate().clear().unlock(), Vocabulary::kCapture50).judged ==
          0);
}

}  // namespace
}  // namespace mmusim::platform
