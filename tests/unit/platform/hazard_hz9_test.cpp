// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz9_forgotten_flush.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x100000000000, kPfn = 0x1a2b, kTop = ~std::uint64_t{0};
constexpr std::uint64_t kTable = 0x8000, kOtherTable = 0x9000;
constexpr rmap::ActorId kReclaimer = 0, kOther = 1;

/// A reclaimer that defers a flush, and another CPU that looks whether one is pending.
struct Stream : EventStream {
    Stream& clear(std::uint64_t table = kTable) {
        on(kReclaimer).emit(Event::kPtlLock, {table});
        emit(Event::kPteClearDefer, {kMm, kVa, 0, 0x67, kPfn, 4});
        emit(Event::kUbcFlushRequired, {kMm, kVa, 0xe}).emit(Event::kUbcBatchedSet, {kMm, kVa});
        return emit(Event::kPtlUnlock, {table}), *this;
    }
    Stream& batch_flush() {
        on(kReclaimer).emit(Event::kArchTlbbatchFlush, {0xe});
        return emit(Event::kArchTlbbatchFlushRet), *this;
    }
    Stream& flush_begins() {
        on(kOther).emit(Event::kFlushTlbMmRange, {kMm, 0, kTop, 12, 1});
        return *this;
    }
    Stream& flush_ends() {
        return on(kOther).emit(Event::kFlushTlbMmRangeRet, {kMm, 0, kTop}), *this;
    }
    Stream& take_back(std::uint64_t mm = kMm) {
        return on(kOther).emit(Event::kTlbFlushBatchedClear, {mm}), *this;
    }
    Stream& look(std::uint64_t batched = 0, std::uint64_t table = kTable) {
        on(kOther).emit(Event::kPtlLock, {table});
        emit(Event::kFlushTlbBatchedPending, {kMm, batched});
        return emit(Event::kPtlUnlock, {table}), *this;
    }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<ForgottenFlushMonitor>(stream);
}

TEST_CASE("hazard HZ9: what was deferred during a flush is forgotten with its flag",
          "[unit][oracle]") {
    const auto found =
        judge(Stream().flush_begins().clear().flush_ends().take_back().look().batch_flush());
    REQUIRE(found.count() == 1);
    CHECK(found.first().actor == kOther);
    CHECK(found.first().window == rmap::nanoseconds(20));
    CHECK(found.first().what ==
          "mm 2 va 0x100000000000 was cleared with its flush deferred at 30 ns; tlb_flush_batched "
          "was taken back at 80 ns");
    CHECK(found.first().translation == "mm 2 va 0x100000000000 -> pfn 0x1a2b gen 4");
}

TEST_CASE("hazard HZ9: between the flush and the store it is forgotten as well", "[unit][oracle]") {
    CHECK(judge(Stream().flush_begins().flush_ends().clear().take_back().look()).count() == 1);
    // Each one who trusts it counts.
    CHECK(judge(Stream().clear().take_back().look().look()).count() == 2);
}

TEST_CASE("hazard HZ9: nothing is forgotten that was deferred before the flush or after the store",
          "[unit][oracle]") {
    CHECK(judge(Stream().clear().flush_begins().flush_ends().take_back().look()).count() == 0);
    CHECK(judge(Stream().flush_begins().flush_ends().take_back().clear().look()).count() == 0);
}

TEST_CASE("hazard HZ9: forgotten without anybody trusting it is none", "[unit][oracle]") {
    const auto forgotten = [] { return Stream().flush_begins().clear().flush_ends().take_back(); };
    CHECK(judge(forgotten()).count() == 0);
    CHECK(judge(forgotten().look(1)).count() == 0);
    CHECK(judge(forgotten().look(0, kOtherTable)).count() == 0);
    CHECK(judge(forgotten().batch_flush().look()).count() == 0);
    CHECK(judge(forgotten().look().look(0, kOtherTable)).count() == 1);
}

TEST_CASE("hazard HZ9: each address space has its own flag", "[unit][oracle]") {
    CHECK(judge(Stream().clear().take_back(kMm + 1).look()).count() == 0);
}

TEST_CASE("hazard HZ9: a page in its next life is not owed anything", "[unit][oracle]") {
    Stream stream = Stream().clear().take_back();
    stream.emit(Event::kPageFree, {kPfn, 0, 4});
    CHECK(judge(stream.look()).count() == 0);
}

}  // namespace
}  // namespace mmusim::platform
