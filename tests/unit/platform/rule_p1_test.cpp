// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/p1_reclaim_order.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& map(std::uint64_t mm) { return emit(Event::kPageAddAnonRmap, {kPfn, mm, 0}), *this; }
    Stream& list() { return emit(Event::kShrinkPageList, {1}), *this; }
    Stream& list_end() { return emit(Event::kShrinkPageListRet, {1}), *this; }
    Stream& unmap(std::uint64_t mapcount) {
        return emit(Event::kPageRemoveRmap, {kPfn, 0, mapcount}), *this;
    }
    Stream& leave() { return emit(Event::kRemoveMapping, {kPfn}), *this; }
    Stream& left(std::uint64_t ret = 1) { return emit(Event::kRemoveMappingRet, {ret}), *this; }
    Stream& flush() { return emit(Event::kTryToUnmapFlush, {0, 0}), *this; }
    Stream& free(std::uint64_t order = 0) {
        return emit(Event::kPageFree, {kPfn, order, 4}), *this;
    }
};

test::Verdict judge(const EventStream& stream) { return test::judge<ReclaimOrderMonitor>(stream); }

TEST_CASE("rule P1: the kernel's order passes", "[unit][oracle]") {
    Stream stream;
    stream.map(2).map(3).list().unmap(1).unmap(0).leave().left().flush().free().list_end();
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule P1: a page that left its cache while mapped breaks it", "[unit][oracle]") {
    const auto some = judge(Stream().list().unmap(1).leave().left().flush().free());
    CHECK(some.judged == 1);
    CHECK(some.violated == 1);
    CHECK(some.missing() == "pfn 0x1a2b left its cache with 1 mappings left");
    CHECK(judge(Stream().map(2).list().leave().left().flush().free()).violated == 1);
    // Faulted in again after it was unmapped.
    CHECK(judge(Stream().list().unmap(0).map(2).leave().left().flush().free()).violated == 1);
}

TEST_CASE("rule P1: a free before the page left its cache breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().list().unmap(0).leave().flush().free().left());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "pfn 0x1a2b was freed before it had left its cache");
}

TEST_CASE("rule P1: a free before the batch flush breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().list().unmap(0).leave().left().free().flush());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "pfn 0x1a2b was freed before try_to_unmap_flush");
    CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(10));
}

TEST_CASE("rule P1: a batch flush before the page left its cache does not count",
          "[unit][oracle]") {
    CHECK(judge(Stream().list().flush().unmap(0).leave().left().free()).violated == 1);
}

TEST_CASE("rule P1: the batch flush of another CPU does not count", "[unit][oracle]") {
    Stream stream;
    stream.list().unmap(0).leave().left();
    stream.on(1);
    stream.flush();
    stream.on(0);
    CHECK(judge(stream.free()).violated == 1);
}

TEST_CASE("rule P1: a page that could not leave its cache is not judged", "[unit][oracle]") {
    const auto verdict = judge(Stream().list().unmap(0).leave().left(0).free());
    CHECK(verdict.judged == 0);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule P1: other ways to free a page are not judged", "[unit][oracle]") {
    CHECK(judge(Stream().unmap(0).leave().left().free()).judged == 0);
    CHECK(judge(Stream().list().list_end().leave().left().free()).judged == 0);
    CHECK(judge(Stream().unmap(0).free()).judged == 0);
    CHECK(judge(Stream().list().unmap(0).leave().left().free(9)).judged == 0);
}

TEST_CASE("rule P1: a page is judged anew in its next life", "[unit][oracle]") {
    Stream stream;
    stream.list().unmap(1).leave().left().flush().free();
    stream.unmap(0).leave().left().flush().free();
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 2);
    CHECK(verdict.violated == 1);
    // Freed once more by somebody who is not reclaiming it.
    CHECK(judge(Stream().list().unmap(0).leave().left().flush().free().free()).judged == 1);
}

}  // namespace
}  // namespace mmusim::platform
