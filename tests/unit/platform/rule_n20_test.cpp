// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n20_one_section_per_visit.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x201000, kPfn = 0x1a2b, kReclaim = 0x40;
constexpr std::uint64_t kMigration = 1, kMunlock = 2, kSplit = 4, kOnly = 1;

struct Stream : EventStream {
    Stream& watched() { return emit(Event::kMnRegister, {1, kMm}), *this; }
    Stream& visit(std::uint64_t flags = kReclaim, std::uint64_t mm = kMm) {
        return emit(Event::kTryToUnmapOne, {kPfn, mm, kVa, flags}), *this;
    }
    Stream& start(std::uint64_t from = kVa, std::uint64_t mm = kMm) {
        return emit(Event::kMnStart, {mm, from, from + 0x1000, 1}), *this;
    }
    Stream& end(std::uint64_t only = 0) {
        return emit(Event::kMnEnd, {kMm, kVa, kVa + 0x1000, only}), *this;
    }
    Stream& walk() { return emit(Event::kPageVmaMappedWalk, {kPfn, kMm, kVa, 0}), *this; }
    Stream& ret(std::uint64_t ret = 1) { return emit(Event::kTryToUnmapOneRet, {ret}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<OneSectionPerVisitMonitor>(stream);
}

TEST_CASE("rule N20: one section per visit passes, with or without a hit", "[unit][oracle]") {
    const auto verdict =
        judge(Stream().visit().start().walk().end().ret().visit().start().end().ret(0));
    CHECK(verdict.judged == 2);
    CHECK(verdict.violated == 0);
    // Sections of other CPUs and address spaces do not belong to the visit.
    CHECK(judge(Stream().visit().start().by(1).start().end().by(0).start(kVa, 3).end().ret())
              .violated == 0);
    CHECK(judge(Stream().start().end().visit().start().end().ret().start().end()).violated == 0);
}

TEST_CASE("rule N20: no section breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().watched().visit().walk().ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "try_to_unmap_one of mm 2 va 0x201000 had 0 START and 0 END");
    CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(20));
}

TEST_CASE("rule N20: a second section or half a section breaks it", "[unit][oracle]") {
    CHECK(judge(Stream().visit().start().end().start().end().ret()).missing() ==
          "try_to_unmap_one of mm 2 va 0x201000 had 2 START and 2 END");
    CHECK(judge(Stream().visit().start().end(kOnly).start().end().ret()).violated == 1);
    CHECK(judge(Stream().visit().start().ret().end()).violated == 1);
    CHECK(judge(Stream().start().visit().end().ret()).violated == 1);
    CHECK(judge(Stream().visit().start().start().end().end().ret()).violated == 1);
}

TEST_CASE("rule N20: the section covers the address", "[unit][oracle]") {
    CHECK(judge(Stream().visit().start(kVa + 0x1000).end().ret()).missing() ==
          "try_to_unmap_one of mm 2 va 0x201000 opened a section that does not cover the address");
}

TEST_CASE("rule N20: the split of a huge page has a section of its own before", "[unit][oracle]") {
    CHECK(judge(Stream().visit(kSplit).start().end(kOnly).start().end().ret()).violated == 0);
    CHECK(judge(Stream().visit(kSplit).start().end().ret()).violated == 0);
    CHECK(judge(Stream().visit(kSplit).start().end().start().end().ret()).violated == 1);
    CHECK(judge(Stream().visit(kSplit).start().end(kOnly).start().end(kOnly).start().end().ret())
              .violated == 1);
}

TEST_CASE("rule N20: visits that leave at once have no section", "[unit][oracle]") {
    CHECK(judge(Stream().watched().visit(kMunlock).ret()).judged == 0);
    CHECK(judge(Stream().watched().visit(kMigration).ret()).judged == 0);
    CHECK(judge(Stream().watched().visit(kReclaim).ret()).violated == 1);
    CHECK(judge(Stream().watched().visit(kMunlock).ret(0)).violated == 1);
    CHECK(judge(Stream().watched().visit(kMigration).walk().ret()).violated == 1);
}

TEST_CASE("rule N20: an mm without notifiers has no sections", "[unit][oracle]") {
    CHECK(judge(Stream().watched().visit(kReclaim, 3).walk().ret()).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
