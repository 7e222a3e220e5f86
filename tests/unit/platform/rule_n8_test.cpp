// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n8_sequence_before_count.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kClient = 7, kMm = 2;

struct Stream : EventStream {
    Stream& end() { return emit(Event::kMnEnd, {kMm, 0x1000, 0x3000, 0}), *this; }
    Stream& count(std::uint64_t count, std::uint64_t sequence, std::uint64_t client = kClient) {
        return emit(Event::kClientCount, {client, kMm, count, sequence}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<SequenceBeforeCountMonitor>(stream);
}

TEST_CASE("rule N8: the sequence and then the count pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().count(1, 5).end().count(1, 6).count(0, 6));
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    // In one record: one store for whoever takes the client's lock.
    CHECK(judge(Stream().count(1, 5).end().count(0, 6)).violated == 0);
}

TEST_CASE("rule N8: the count and then the sequence break it", "[unit][oracle]") {
    const auto verdict = judge(Stream().count(1, 5).end().count(0, 5).count(0, 6));
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 7 lowered its count for mm 2 to 0 while its sequence was still 5");
    CHECK(judge(Stream().count(1, 5).end().count(0, 5)).violated == 1);
}

TEST_CASE("rule N8: each end raises the sequence for itself", "[unit][oracle]") {
    Stream overlapping;
    overlapping.count(1, 5).by(1).count(2, 5).by(0).end().count(2, 6).count(1, 6);
    CHECK(judge(overlapping.by(1).end().count(1, 7).count(0, 7)).violated == 0);
    CHECK(judge(Stream().count(2, 5).end().count(2, 6).count(1, 6).end().count(0, 6)).violated ==
          1);
    // What another CPU or change_pte has raised is not this end's.
    CHECK(judge(Stream().count(2, 5).by(1).end().count(2, 6).by(0).end().count(1, 6)).violated ==
          1);
    CHECK(judge(Stream().count(1, 5).count(1, 6).end().count(0, 6)).violated == 1);
}

TEST_CASE("rule N8: clients are independent", "[unit][oracle]") {
    Stream stream;
    stream.count(1, 5).count(1, 9, 8).end();
    stream.count(1, 6).count(1, 10, 8).count(0, 10, 8).count(0, 6);
    CHECK(judge(stream).judged == 2);
    CHECK(judge(stream).violated == 0);
}

}  // namespace
}  // namespace mmusim::platform
