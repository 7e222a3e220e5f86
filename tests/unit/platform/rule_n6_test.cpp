// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n6_no_entry_in_section.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kEnd = 0x3000, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& call() { return emit(Event::kMnStart, {kMm, kVa, kEnd, 1}), *this; }
    Stream& ret(std::uint64_t ret = 0) {
        return emit(Event::kMnStartRet, {kMm, kVa, kEnd, ret}), *this;
    }
    Stream& end() { return emit(Event::kMnEnd, {kMm, kVa, kEnd, 0}), *this; }
    Stream& set(std::uint64_t address = kVa, std::uint64_t mm = kMm) {
        on(1).emit(Event::kSpteSet, {7, mm, address, 0x37, kPfn, 4});
        return on(0), *this;
    }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<NoEntryInSectionMonitor>(stream);
}

TEST_CASE("rule N6: entries before and after a section pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().set().call().set().ret().end().set());
    CHECK(verdict.judged == 3);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().call().ret(1).set()).violated == 0);  // refused
}

TEST_CASE("rule N6: an entry inside an open section breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().call().ret().set().end());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 7 made an entry for mm 2 va 0x1000 inside the section [0x1000, 0x3000), open "
          "since 20 ns");
    CHECK(verdict.breaches[0].translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(10));
    CHECK(judge(Stream().call().ret().set(kEnd - 0x1000)).violated == 1);
    // Nested: the inner one has ended.
    CHECK(judge(Stream().call().ret().call().ret().end().set()).violated == 1);
}

TEST_CASE("rule N6: other addresses and address spaces are free", "[unit][oracle]") {
    CHECK(judge(Stream().call().ret().set(kEnd).set(0).set(kVa, kMm + 1)).violated == 0);
}

}  // namespace
}  // namespace mmusim::platform
