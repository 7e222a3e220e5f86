// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/rules/t6_free_after_flush.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x100000000000, kPfn = 0x1a2b, kTop = ~std::uint64_t{0};

struct Stream : EventStream {
    Stream& clear(std::uint64_t mask = 0xe, std::uint64_t mm = kMm) {
        emit(Event::kPteClearDefer, {mm, kVa, 0, 0x67, kPfn, 4});
        return emit(Event::kUbcFlushRequired, {mm, kVa, mask}), *this;
    }
    Stream& flush(std::uint64_t mask = 0xe) {
        emit(Event::kArchTlbbatchFlush, {mask});
        return emit(Event::kArchTlbbatchFlushRet), *this;
    }
    Stream& flush_range(std::uint64_t start, std::uint64_t end, std::uint64_t mm = kMm) {
        emit(Event::kFlushTlbMmRange, {mm, start, end, 12, 0});
        return emit(Event::kFlushTlbMmRangeRet, {mm, start, end}), *this;
    }
    Stream& free(std::uint64_t order = 0) {
        return emit(Event::kPageFree, {kPfn, order, 4}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<FreeAfterFlushMonitor>(stream);
}

TEST_CASE("rule T6: a free after the batch flush passes", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear().clear(0x6, 3).flush().free());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule T6: a free before the batch flush breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear().free().flush());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "pfn 0x1a2b was freed before the batch flush: mm 2 va 0x100000000000 was cleared with "
          "its flush deferred at 10 ns");
    CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(20));
}

TEST_CASE("rule T6: a free without any flush breaks it", "[unit][oracle]") {
    CHECK(judge(Stream().clear().free()).violated == 1);
}

TEST_CASE("rule T6: a flush from before the clear does not count", "[unit][oracle]") {
    CHECK(judge(Stream().flush().clear().free()).violated == 1);
}

TEST_CASE("rule T6: a flush that leaves out a CPU does not count", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear(0xe).flush(0x6).free());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing().find("the batch flush left out CPUs 0x8") != std::string::npos);
    // The later, complete one does.
    CHECK(judge(Stream().clear(0xe).flush(0x6).flush(0xe).free()).violated == 0);
}

TEST_CASE("rule T6: the batch flush of another CPU does not count", "[unit][oracle]") {
    CHECK(judge(Stream().clear().by(1).flush().by(0).free()).violated == 1);
    CHECK(judge(Stream().by(1).clear().by(0).flush().by(1).free()).violated == 1);
}

TEST_CASE("rule T6: whoever frees the page has to wait for the flush", "[unit][oracle]") {
    CHECK(judge(Stream().clear().by(1).free()).violated == 1);
    CHECK(judge(Stream().clear().flush().by(1).free()).violated == 0);
}

TEST_CASE("rule T6: a page that came back is covered by the flush of its next unmapping",
          "[unit][oracle]") {
    // Kept by the reclaimer, faulted in again, unmapped and freed by munmap on another CPU.
    const auto munmap = [](std::uint64_t start, std::uint64_t end, std::uint64_t mm) {
        return judge(Stream().clear().by(1).flush_range(start, end, mm).free()).violated;
    };
    CHECK(munmap(kVa, kVa + 0x1000, kMm) == 0);
    CHECK(munmap(0, kTop, kMm) == 0);
    CHECK(munmap(kVa + 0x1000, kVa + 0x2000, kMm) == 1);
    CHECK(munmap(kVa - 0x1000, kVa, kMm) == 1);
    CHECK(munmap(0, kTop, kMm + 1) == 1);
}

TEST_CASE("rule T6: a range flush that began before the clear does not count", "[unit][oracle]") {
    Stream stream;
    stream.by(1).emit(Event::kFlushTlbMmRange, {kMm, 0, kTop, 12, 1});
    stream.by(0).clear();
    stream.by(1).emit(Event::kFlushTlbMmRangeRet, {kMm, 0, kTop});
    CHECK(judge(stream.free()).violated == 1);
}

TEST_CASE("rule T6: a page is judged anew in its next life", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear().flush().free().free());
    CHECK(verdict.judged == 1);
    CHECK(judge(Stream().clear().free().clear().free()).violated == 2);
}

TEST_CASE("rule T6: compound pages are a hazard of the kernel and not judged", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear().free(9));
    CHECK(verdict.judged == 0);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule T6: forgets the oldest clears of a stream without end", "[unit][oracle]") {
    DeferredClears clears;
    EventStream stream;
    for (std::uint64_t pfn = 0; pfn <= kMonitorCapacity; ++pfn)
        stream.emit(Event::kPteClearDefer, {kMm, kVa + pfn * 0x1000, 0, 0x67, pfn, 0});
    for (const auto& record : stream.records()) clears.on_record(record);
    CHECK(clears.of({0}).empty());
    CHECK(clears.of({1}).size() == 1);
    CHECK(clears.of({kMonitorCapacity}).size() == 1);
}

}  // namespace
}  // namespace mmusim::platform
