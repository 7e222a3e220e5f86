// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/walk_equivalence.hpp"
#include "tests/support/event_stream.hpp"

namespace mmusim::platform {

using models::WalkDifference;
using rmap::Event;
using test::EventStream;

namespace {

constexpr std::uint64_t kMm = 2, kVa = 0x100000003000, kPfn = 0x1a2b;
constexpr rmap::ActorId kChanger = 0, kUser = 3;
constexpr auto kUnmap = static_cast<std::uint64_t>(rmap::OperationKind::kUnmap);

/// A hit at `ns` on core 3 that a walk would not have confirmed, of an entry read at 5 ns.
WalkDifference difference_at(std::uint64_t ns, std::uint64_t va = kVa) {
    WalkDifference difference;
    difference.what = WalkDifference::What::kNotMapped;
    difference.use.time = rmap::Instant{} + rmap::nanoseconds(ns);
    difference.use.filled = rmap::Instant{} + rmap::nanoseconds(5);
    difference.use.page = rmap::page_of(rmap::VirtAddr{va});
    difference.use.frame = {kPfn};
    difference.use.mm = kMm;
    return difference;
}

struct Judged {
    std::uint64_t violated;
    std::vector<Violation> violations;
};

Judged judged(const EventStream& story, const std::vector<WalkDifference>& differences) {
    OperationNames operations;
    WalkEquivalence walks(operations,
                          {[](rmap::ActorId actor) { return "core" + std::to_string(actor); },
                           [](rmap::ActorId actor, rmap::Access) {
                               return "core" + std::to_string(actor) + ".dtlb";
                           }});
    walks.judge(kUser, differences.size(), differences);
    story.play(walks);
    CHECK(walks.compared() == differences.size());
    auto violations = walks.finish();
    return {walks.violated(), std::move(violations)};
}

/// At 100 ns an operation begins, at 110 ns it clears the PTE, at 200 ns it ends.
EventStream unmap_story() {
    EventStream story;
    story.on(kChanger).in(rmap::operation_id(kChanger, 17)).at(100);
    story.emit(Event::kOperationBegin, {kUnmap});
    story.emit(Event::kPtepClearFlush, {kMm, kVa, 0, 0, kPfn, 4});
    story.at(200).emit(Event::kOperationEnd, {kUnmap});
    return story;
}

}  // namespace

TEST_CASE("walk equivalence: a hit may differ while the operation that changed the PTE goes on",
          "[unit][oracle]") {
    CHECK(judged(unmap_story(), {difference_at(111), difference_at(199)}).violated == 0);
}

TEST_CASE("walk equivalence: a hit that differs once the operation is over is a violation",
          "[unit][oracle]") {
    const auto result = judged(unmap_story(), {difference_at(199), difference_at(201)});
    CHECK(result.violated == 1);
    REQUIRE(result.violations.size() == 1);
    const auto& violation = result.violations.front();
    CHECK(violation.rule == "walk-equivalence");
    CHECK(violation.agent == "core3.dtlb");
    CHECK(violation.operation == rmap::operation_id(kChanger, 17));
    CHECK(violation.time == rmap::Instant{} + rmap::nanoseconds(201));
    CHECK(violation.window == rmap::nanoseconds(1));
    CHECK(violation.entry_age == rmap::nanoseconds(196));
    CHECK(violation.missing ==
          "a walk finds nothing there: the PTE was changed at 110 ns, and what core0 did was over "
          "at 200 ns");
}

TEST_CASE("walk equivalence: the outermost operation counts and not the one that changed the PTE",
          "[unit][oracle]") {
    EventStream story;
    story.on(kChanger).at(100);
    story.emit(Event::kOperationBegin, {kUnmap}).emit(Event::kOperationBegin, {kUnmap});
    story.emit(Event::kPteClearDefer, {kMm, kVa, 0, 0, kPfn, 4});
    story.emit(Event::kOperationEnd, {kUnmap});
    story.at(300).emit(Event::kOperationEnd, {kUnmap});
    CHECK(judged(story, {difference_at(299)}).violated == 0);
    CHECK(judged(story, {difference_at(301)}).violated == 1);
}

TEST_CASE("walk equivalence: a hit that differs from a PTE that nobody changed is a violation",
          "[unit][oracle]") {
    const auto result = judged(unmap_story(), {difference_at(150, kVa + 0x1000)});
    CHECK(result.violated == 1);
    CHECK(result.violations.at(0).missing ==
          "a walk finds nothing there, and nobody has changed the PTE since it was read at 5 ns");
}

TEST_CASE("walk equivalence: the change of another address space excuses nothing",
          "[unit][oracle]") {
    auto other = difference_at(150);
    other.use.mm = kMm + 1;
    CHECK(judged(unmap_story(), {other}).violated == 1);
}

TEST_CASE(
    "walk equivalence: the event of a change follows it and what came before is in flight too",
    "[unit][oracle]") {
    CHECK(judged(unmap_story(), {difference_at(100), difference_at(109)}).violated == 0);
}

TEST_CASE("walk equivalence: an operation that begins after the hit excuses nothing",
          "[unit][oracle]") {
    CHECK(judged(unmap_story(), {difference_at(99)}).violated == 1);
}

TEST_CASE("walk equivalence: a page fault may change a PTE until it returns", "[unit][oracle]") {
    EventStream story;
    story.on(kChanger).at(100).emit(Event::kPageFault, {kMm, kVa, 1});
    story.emit(Event::kPtepClearFlush, {kMm, kVa, 0, 0, kPfn, 4});
    story.emit(Event::kPteSet, {kMm, kVa, 0, 0, kPfn + 1, 1});
    story.at(200).emit(Event::kPageFaultRet);
    CHECK(judged(story, {difference_at(115), difference_at(199)}).violated == 0);
    CHECK(judged(story, {difference_at(200)}).violated == 1);
}

TEST_CASE("walk equivalence: repeated hits of one core on one page are one violation",
          "[unit][oracle]") {
    const auto result =
        judged(unmap_story(), {difference_at(300), difference_at(310), difference_at(320)});
    CHECK(result.violated == 3);
    CHECK(result.violations.size() == 1);
}

}  // namespace mmusim::platform
