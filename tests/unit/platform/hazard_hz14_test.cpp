// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz14_own_callback.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x2000, kGen = 6, kTop = ~std::uint64_t{0};

struct Stream : EventStream {
    Stream& others(std::uint64_t mm = kMm, std::uint64_t start = kVa, std::uint64_t end = kEnd,
                   std::uint64_t gen = kGen) {
        return emit(Event::kFlushTlbOthers, {0x3, mm, start, end, gen}), *this;
    }
    Stream& callback(std::uint64_t mm = kMm, std::uint64_t start = kVa, std::uint64_t end = kEnd,
                     std::uint64_t gen = kGen) {
        return emit(Event::kFlushTlbFuncRemote, {mm, start, end, gen}), *this;
    }
    Stream& done() { return emit(Event::kFlushTlbFuncRet), *this; }
    Stream& ret() { return emit(Event::kFlushTlbOthersRet), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
    Stream& of(std::uint64_t operation) { return in(operation), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<OwnCallbackMonitor>(stream);
}

TEST_CASE("hazard HZ14: the initiator's own callback counts with its time", "[unit][oracle]") {
    const auto round = [](Stream& s) {
        s.others().by(1).callback().done().by(0).callback().done().ret();
    };
    Stream stream;
    round(stream);
    round(stream);
    const auto found = judge(stream);
    CHECK(found.count() == 2);
    CHECK(found.total_window() == rmap::nanoseconds(20));
    CHECK(found.longest_window() == rmap::nanoseconds(10));
    CHECK(found.first().time == rmap::Instant{40'000});
    CHECK(found.first().actor == 0);
    CHECK(found.first().what == "flush_tlb_func_remote for mm 2 on its own initiator");
}

TEST_CASE("hazard HZ14: a callback that finds the mm gone counts and takes no time",
          "[unit][oracle]") {
    const auto found = judge(Stream().others().callback().ret());
    CHECK(found.count() == 1);
    CHECK(found.total_window().ps == 0);
}

TEST_CASE("hazard HZ14: callbacks of other CPUs' shootdowns are none", "[unit][oracle]") {
    // The initiator is not in the mask.
    CHECK(judge(Stream().others().by(1).callback().done().by(0).ret()).count() == 0);
    // While it waits it is interrupted for somebody else's flush, of this mm or of a batch.
    CHECK(judge(Stream().others().of(9).callback(kMm, kVa, kEnd, kGen + 1).done().of(0).ret())
              .count() == 0);
    CHECK(
        judge(Stream().of(8).others(0, 0, kTop, 0).of(9).callback(0, 0, kTop, 0).done().of(8).ret())
            .count() == 0);
    CHECK(judge(Stream().callback().done()).count() == 0);
    CHECK(judge(Stream().others().ret().callback().done()).count() == 0);
}

TEST_CASE("hazard HZ14: the end of an interrupt's callback is not its end", "[unit][oracle]") {
    // The own one found the mm gone, and an interrupt came before the round was over.
    const auto found = judge(Stream().of(8).others().callback().of(9).done().of(8).ret());
    CHECK(found.count() == 1);
    CHECK(found.total_window().ps == 0);
}

TEST_CASE("hazard HZ14: a batch is one as well", "[unit][oracle]") {
    const auto found = judge(Stream().others(0, 0, kTop, 0).callback(0, 0, kTop, 0).done().ret());
    REQUIRE(found.count() == 1);
    CHECK(found.first().what == "flush_tlb_func_remote for the batch on its own initiator");
}

}  // namespace
}  // namespace mmusim::platform
