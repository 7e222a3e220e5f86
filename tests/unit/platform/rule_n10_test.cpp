// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n10_mapped_until_cleared.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kPfn = 0x1a2b, kGen = 4;

struct Stream : EventStream {
    Stream& start() {
        emit(Event::kMnStart, {kMm, kVa, kEnd, 1});
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, 0}), *this;
    }
    Stream& end() { return emit(Event::kMnEnd, {kMm, kVa, kEnd, 0}), *this; }
    Stream& clear(std::uint64_t generation = kGen, std::uint64_t pte = 0x67) {
        return emit(Event::kPteClear, {kMm, kVa, 0, pte, kPfn, generation}), *this;
    }
    Stream& free(std::uint64_t generation = kGen, std::uint64_t pfn = kPfn) {
        return emit(Event::kPageFree, {pfn, 0, generation}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<MappedUntilClearedMonitor>(stream, vocabulary);
}

TEST_CASE("rule N10: pages that are freed after their clear pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().clear().end().free());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    // The frame's earlier life, and another frame.
    CHECK(judge(Stream().free(kGen - 1).start().clear()).violated == 0);
    CHECK(judge(Stream().free(kGen, kPfn + 1).start().clear()).violated == 0);
    // Sealed in between: a mapping of an older generation of the same page.
    CHECK(judge(Stream().free(kGen - 1).start().clear(kGen).end().free(kGen + 1)).violated == 0);
}

TEST_CASE("rule N10: a page freed before START breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().free().start().clear());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "pfn 0x1a2b was freed at 10 ns, before the START at 20 ns of the section [0x1000, "
          "0x3000) that unmaps it from mm 2 va 0x1000");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(30));
    CHECK(verdict.breaches[0].translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(judge(Stream().free(kGen + 2).start().clear()).violated == 1);
}

TEST_CASE("rule N10: a page freed between START and clear breaks it", "[unit][oracle]") {
    CHECK(judge(Stream().start().by(1).free().by(0).clear())
              .missing()
              .find("30 ns, after the START") != std::string::npos);
}

TEST_CASE("rule N10: judges only what a section unmaps and generations show", "[unit][oracle]") {
    CHECK(judge(Stream().free().clear()).judged == 0);
    CHECK(judge(Stream().free().start().by(1).start().by(0).clear()).violated == 1);
    CHECK(judge(Stream().free().start().by(1).clear()).judged == 0);
    CHECK(judge(Stream().free().start().clear(kGen, 0x66)).judged == 0);  // not present
    CHECK(judge(Stream().free().start().clear(), Vocabulary::kCapture61).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
