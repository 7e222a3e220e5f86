// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/t5_write_out_after_flush.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x100000000000, kPfn = 0x1a2b;
constexpr std::uint64_t kDirty = 0x67, kClean = 0x27;

struct Stream : EventStream {
    Stream& clear(std::uint64_t pte, std::uint64_t mask = 0xe, std::uint64_t mm = kMm) {
        emit(Event::kPteClearDefer, {mm, kVa, 0, pte, kPfn, 4});
        return emit(Event::kUbcFlushRequired, {mm, kVa, mask}), *this;
    }
    Stream& flush(std::uint64_t mask = 0xe) {
        emit(Event::kArchTlbbatchFlush, {mask});
        return emit(Event::kArchTlbbatchFlushRet), *this;
    }
    Stream& write(Event event = Event::kSwapWritepage) { return emit(event, {kPfn}), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<WriteOutAfterFlushMonitor>(stream);
}

TEST_CASE("rule T5: write-out after the batch flush passes", "[unit][oracle]") {
    Stream stream;
    stream.clear(kDirty).flush().write().write(Event::kDoSwapWritepage);
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule T5: write-out before the batch flush breaks it", "[unit][oracle]") {
    for (const Event event :
         {Event::kSwapWritepage, Event::kDoSwapWritepage, Event::kFileWritepage}) {
        const auto verdict = judge(Stream().clear(kDirty).write(event).flush());
        CHECK(verdict.judged == 1);
        CHECK(verdict.violated == 1);
        CHECK(verdict.missing() ==
              "pfn 0x1a2b was written out before the batch flush: dirty mm 2 va 0x100000000000 "
              "was cleared with its flush deferred at 10 ns");
        CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(20));
    }
}

TEST_CASE("rule T5: write-out during the batch flush breaks it", "[unit][oracle]") {
    Stream stream;
    stream.clear(kDirty).emit(Event::kArchTlbbatchFlush, {0xe});
    stream.write().emit(Event::kArchTlbbatchFlushRet);
    CHECK(judge(stream).violated == 1);
}

TEST_CASE("rule T5: a clean page may be written out at any time", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear(kClean).write());
    CHECK(verdict.judged == 0);
    CHECK(verdict.violated == 0);
    // Its dirty mapping is flushed, its clean one is not.
    CHECK(judge(Stream().clear(kDirty).flush().clear(kClean, 0xe, 3).write()).violated == 0);
}

TEST_CASE("rule T5: one dirty mapping of several is enough to break it", "[unit][oracle]") {
    CHECK(judge(Stream().clear(kClean).clear(kDirty, 0xe, 3).write()).violated == 1);
}

TEST_CASE("rule T5: a flush that leaves out a CPU does not count", "[unit][oracle]") {
    const auto verdict = judge(Stream().clear(kDirty, 0xe).flush(0x6).write());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing().find("and the batch flush left out CPUs 0x8") != std::string::npos);
}

TEST_CASE("rule T5: a flush of another CPU's batch does not count", "[unit][oracle]") {
    Stream stream;
    stream.clear(kDirty);
    stream.on(1);
    stream.flush();
    stream.on(0);
    CHECK(judge(stream.write()).violated == 1);
}

TEST_CASE("rule T5: a page is judged anew after it was freed", "[unit][oracle]") {
    Stream stream;
    stream.clear(kDirty).emit(Event::kPageFree, {kPfn, 0, 4});
    CHECK(judge(stream.write()).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
