// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/rules/n2_paired_sections.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

enum class Blockable : std::uint64_t { kNo, kYes };

struct Stream : EventStream {
    Stream& start(std::uint64_t mm, std::uint64_t from, std::uint64_t to,
                  Blockable blockable = Blockable::kYes) {
        emit(Event::kMnStart, {mm, from, to, static_cast<std::uint64_t>(blockable)});
        return *this;
    }
    Stream& end(std::uint64_t mm, std::uint64_t from, std::uint64_t to, std::uint64_t only = 0) {
        return emit(Event::kMnEnd, {mm, from, to, only}), *this;
    }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<PairedSectionsMonitor>(stream);
}

TEST_CASE("rule N2: nested and overlapping sections with one end each pass", "[unit][oracle]") {
    Stream stream;
    stream.start(2, 0x1000, 0x5000).start(2, 0x1000, 0x2000).start(2, 0x1000, 0x5000);
    stream.on(1);
    stream.start(3, 0x1000, 0x5000).end(2, 0x1000, 0x5000).end(2, 0x1000, 0x5000, 1);
    stream.end(2, 0x1000, 0x2000).end(3, 0x1000, 0x5000);
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 4);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule N2: a start without an end breaks it", "[unit][oracle]") {
    Stream stream;
    stream.on(3);
    stream.start(2, 0x1000, 0x2000).start(2, 0x3000, 0x4000).end(2, 0x3000, 0x4000);
    const auto verdict = judge(stream);
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() == "no END for the START of mm 2 [0x1000, 0x2000)");
    CHECK(verdict.breaches[0].actor == 3);
    CHECK(verdict.breaches[0].time == rmap::Instant{10'000});
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(20));
}

TEST_CASE("rule N2: an end without a start breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().end(2, 0x1000, 0x2000));
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "END without START for mm 2 [0x1000, 0x2000)");
}

TEST_CASE("rule N2: a second end breaks it", "[unit][oracle]") {
    const auto verdict =
        judge(Stream().start(2, 0x1000, 0x2000).end(2, 0x1000, 0x2000).end(2, 0x1000, 0x2000, 1));
    CHECK(verdict.violated == 1);
}

TEST_CASE("rule N2: an end that differs in any way breaks it twice", "[unit][oracle]") {
    CHECK(judge(Stream().start(2, 0x1000, 0x3000).end(3, 0x1000, 0x3000)).violated == 2);
    CHECK(judge(Stream().start(2, 0x1000, 0x3000).end(2, 0x0000, 0x3000)).violated == 2);
    CHECK(judge(Stream().start(2, 0x1000, 0x3000).end(2, 0x1000, 0x2000)).violated == 2);
}

TEST_CASE("rule N2: a start that may not block can fail and then has no end", "[unit][oracle]") {
    CHECK(judge(Stream().start(2, 0x1000, 0x3000, Blockable::kNo)).violated == 0);
    CHECK(
        judge(Stream().start(2, 0x1000, 0x3000, Blockable::kNo).end(2, 0x1000, 0x3000)).violated ==
        0);
}

TEST_CASE("rule N2: a stream without end reports lost sections and stays small", "[unit][oracle]") {
    PairedSectionsMonitor rule;
    Findings findings;
    Stream stream;
    for (std::uint64_t i = 0; i < kMonitorCapacity + 2; ++i)
        stream.start(2, i * 0x1000, (i + 1) * 0x1000);
    for (const auto& record : stream.records()) rule.on_record(record, findings);
    CHECK(findings.violated() == 2);
    CHECK(findings.breaches().at(1).missing == "no END for the START of mm 2 [0x1000, 0x2000)");
}

}  // namespace
}  // namespace mmusim::platform
