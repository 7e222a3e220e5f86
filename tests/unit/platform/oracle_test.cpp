// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/oracle.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/support/event_stream.hpp"
#include "tests/support/judge_use.hpp"

namespace mmusim::platform {
namespace {

using rmap::Access;
using rmap::Event;
using rmap::Instant;
using rmap::operation_id;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x100000003000, kPfn = 0x1a2b, kGen = 4;

AgentNames names() {
    return {[](rmap::ActorId actor) { return "core" + std::to_string(actor); },
            [](rmap::ActorId actor, rmap::Access) {
                return "core" + std::to_string(actor) + ".l1_tlb";
            }};
}

/// A page reclaimed by core 0; what is freed before the batch flush stays in the TLB of core 3.
EventStream reclaim(bool flush_first) {
    EventStream s;
    s.in(operation_id(0, 3)).emit(Event::kOperationBegin, {1, 1});
    s.emit(Event::kShrinkPageList, {1});
    s.in(operation_id(0, 17)).emit(Event::kOperationBegin, {2, 1});
    s.emit(Event::kPteClearDefer, {kMm, kVa, 0, 0x67, kPfn, kGen});
    s.emit(Event::kUbcTlbGenInc, {kMm, 6});
    s.emit(Event::kUbcFlushRequired, {kMm, kVa, 0x8});
    s.emit(Event::kPageRemoveRmap, {kPfn, 0, 0});
    s.emit(Event::kRemoveMapping, {kPfn}).emit(Event::kRemoveMappingRet, {1});
    s.in(operation_id(0, 3));
    const auto flush = [&] {
        s.emit(Event::kTryToUnmapFlush, {1, 1}).emit(Event::kArchTlbbatchFlush, {0x8});
        s.on(3).emit(Event::kTlbInvalidated, {kMm, 0, ~std::uint64_t{0}, 7});
        s.emit(Event::kCallFunctionAck, {0});
        s.on(0).emit(Event::kArchTlbbatchFlushRet);
    };
    if (flush_first) flush();
    s.emit(Event::kPageFree, {kPfn, 0, kGen});
    if (!flush_first) flush();
    s.emit(Event::kShrinkPageListRet, {1});
    return s;
}

OracleReport run(const EventStream& stream, std::uint64_t access_ps) {
    SafetyOracle oracle(Vocabulary::kSimulation, names());
    for (const auto& record : stream.records()) oracle.emitted(record);
    models::AccessRecord access;
    access.time = Instant{access_ps};
    access.filled = Instant{5'000};
    access.page = rmap::page_of(rmap::VirtAddr{kVa});
    access.frame = {kPfn};
    access.generation = kGen;
    access.mm = kMm;
    test::judge_use(oracle, 3, access);
    stream.play(oracle);
    return oracle.finish();
}

const RuleVerdict& rule(const OracleReport& report, const std::string& id) {
    for (const RuleVerdict& verdict : report.rules)
        if (verdict.id == id) return verdict;
    FAIL("no rule " << id);
    return report.rules.front();
}

TEST_CASE("oracle: a correct reclaim is judged and found correct", "[unit][oracle]") {
    const auto report = run(reclaim(true), 100'000);
    CHECK(report.on);
    CHECK(report.checked == 1);
    CHECK(report.violations.empty());
    CHECK(report.violations_found == 0);
    for (const char* id : {"T1", "T6", "P1"}) {
        CHECK(rule(report, id).judged == 1);
        CHECK(rule(report, id).violated == 0);
    }
}

TEST_CASE("oracle: a free before the flush is caught by rules and by the access",
          "[unit][oracle]") {
    const auto report = run(reclaim(false), 105'000);
    CHECK(report.violations_found == 3);
    REQUIRE(report.violations.size() == 3);
    CHECK(rule(report, "T6").violated == 1);
    CHECK(rule(report, "P1").violated == 1);
    CHECK(report.violations[0].rule == "T6");
    CHECK(report.violations[0].agent == "core0");
    CHECK(report.violations[0].operation_name == "shrink_page_list 0.3");
    CHECK(report.violations[1].rule == "P1");

    const Violation& stale = report.violations[2];
    CHECK(stale.rule == "stale-translation");
    CHECK(stale.agent == "core3.l1_tlb");
    CHECK(stale.translation == "mm 2 va 0x100000003000 -> pfn 0x1a2b gen 4");
    CHECK(stale.operation == operation_id(0, 17));
    CHECK(stale.operation_name == "unmap 0.17 in shrink_page_list 0.3");
    CHECK(stale.entry_age == rmap::nanoseconds(100));
    CHECK(stale.window == rmap::nanoseconds(5));
    CHECK(stale.missing == "the batch flush came at 120 ns, 20 ns after the free");
}

TEST_CASE("oracle: sealing forbids writes through old translations", "[unit][oracle]") {
    SafetyOracle oracle(Vocabulary::kSimulation, names());
    EventStream stream;
    stream.at(100).emit(Event::kPageSealed, {kPfn, kGen});
    for (const auto& record : stream.records()) oracle.emitted(record);
    models::AccessRecord access;
    access.time = Instant{100'000};
    access.frame = {kPfn};
    access.generation = kGen;
    access.access = Access::kWrite;
    test::judge_use(oracle, 1, access);
    stream.play(oracle);
    const auto report = oracle.finish();
    CHECK(report.violations_found == 1);
    CHECK(report.violations.at(0).rule == "lost-write");
}

TEST_CASE("oracle: explains while the history is there and not later", "[unit][oracle]") {
    EventStream stream = reclaim(false);
    // A millisecond later a long run has filled the history with other things.
    for (std::size_t i = 0; i < FlushHistory::kKept + 1; ++i)
        stream.at(1'000'200 + i).emit(Event::kPteClear, {9, 0x1000, 0, 0x67, 1, 0});
    const auto report = run(stream, 105'000);
    CHECK(report.violations.at(2).missing ==
          "the batch flush came at 120 ns, 20 ns after the free");
}

TEST_CASE("oracle: what a trace left open is reported at its end", "[unit][oracle]") {
    SafetyOracle oracle(Vocabulary::kCapture50, names());
    EventStream()
        .emit(Event::kMnStart, {kMm, 0x1000, 0x2000, 1})
        .emit(Event::kTryToUnmap)
        .play(oracle);
    const auto report = oracle.finish();
    CHECK(rule(report, "N2").violated == 1);
    CHECK(report.violations.at(0).window == rmap::nanoseconds(10));
}

TEST_CASE("oracle: keeps the first violations and counts the others", "[unit][oracle]") {
    SafetyOracle oracle(Vocabulary::kSimulation, names());
    EventStream stream;
    // One of another rule first.
    stream.emit(Event::kClientStart, {1, kMm, 0, 0x1000})
        .emit(Event::kMnStartRet, {kMm, 0, 0x1000});
    for (std::uint64_t i = 0; i < kMaxViolations + 5; ++i)
        stream.emit(Event::kMnEnd, {kMm, i * 0x1000, (i + 1) * 0x1000, 0});
    stream.play(oracle);
    const auto report = oracle.finish();
    CHECK(report.violations.size() == kMaxViolations);
    CHECK(report.violations_found == kMaxViolations + 6);
    CHECK(report.violations.front().rule == "N9");
    CHECK(report.violations.back().time ==
          report.violations.front().time + rmap::nanoseconds(10 * (kMaxViolations - 1)));
}

TEST_CASE("oracle: a hazard is named with its operation and is no violation", "[unit][oracle]") {
    SafetyOracle oracle(Vocabulary::kSimulation, names());
    EventStream stream;
    stream.in(operation_id(0, 5)).emit(Event::kOperationBegin, {2, 1});
    for (int i = 0; i < 2; ++i) {
        stream.emit(Event::kFlushTlbOthers, {0, kMm, kVa, kVa + 0x1000, 6});
        stream.emit(Event::kFlushTlbFuncRemote, {kMm, kVa, kVa + 0x1000, 6});
        stream.emit(Event::kFlushTlbFuncRet).emit(Event::kFlushTlbOthersRet);
    }
    // The operation is named while it is known.
    for (std::size_t i = 0; i < OperationNames::kEndedKept + 1; ++i) {
        stream.in(operation_id(1, i + 1)).on(1).emit(Event::kOperationBegin, {2, 1});
        stream.emit(Event::kOperationEnd, {2, 1});
    }
    stream.emit(Event::kFlushTlbOthersRet);
    stream.play(oracle);
    const auto report = oracle.finish();
    CHECK(report.violations_found == 0);
    REQUIRE(report.hazards.size() == 1);
    const HazardVerdict& hazard = report.hazards[0];
    CHECK(hazard.id == "HZ14");
    CHECK(hazard.count == 2);
    CHECK(hazard.total_window == rmap::nanoseconds(20));
    CHECK(hazard.longest_window == rmap::nanoseconds(10));
    CHECK(hazard.first.agent == "core0");
    CHECK(hazard.first.operation == operation_id(0, 5));
    CHECK(hazard.first.operation_name == "unmap 0.5");
    CHECK(hazard.first.time == Instant{30'000});
    CHECK(hazard.wrong_uses == 0);
}

TEST_CASE("oracle: every rule has a row of its own with words for it", "[unit][oracle]") {
    std::set<std::string_view> ids;
    for (const RuleRow& row : rule_table()) {
        CHECK(ids.insert(row.id).second);
        CHECK(!row.title.empty());
        CHECK(row.summary.back() == '.');
        const auto monitor = row.make(Vocabulary::kSimulation);
        auto events = monitor->events();
        CHECK(!events.empty());
        std::sort(events.begin(), events.end());
        CHECK(std::adjacent_find(events.begin(), events.end()) == events.end());
    }
    CHECK(ids == std::set<std::string_view>{"N1",  "N2",  "N3",  "N4",  "N5",  "N6",  "N7",  "N8",
                                            "N9",  "N10", "N11", "N14", "N15", "N17", "N19", "N20",
                                            "N28", "T1",  "T2",  "T5",  "T6",  "P1"});
}

}  // namespace
}  // namespace mmusim::platform
