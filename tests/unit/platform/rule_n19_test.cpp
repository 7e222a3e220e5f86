// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n19_secondary_aging.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& watched() { return emit(Event::kMnRegister, {1, kMm}), *this; }
    Stream& referenced() { return emit(Event::kPageReferenced, {kPfn, 1}), *this; }
    Stream& counted(std::uint64_t vmas) { return emit(Event::kPageReferencedRet, {vmas}), *this; }
    Stream& one() { return emit(Event::kPageReferencedOne, {kPfn, kMm, kVa}), *this; }
    Stream& one_ret() { return emit(Event::kPageReferencedOneRet, {1}), *this; }
    Stream& unmap() { return emit(Event::kTryToUnmapOne, {kPfn, kMm, kVa, 0x40}), *this; }
    Stream& unmap_ret(std::uint64_t ret) { return emit(Event::kTryToUnmapOneRet, {ret}), *this; }
    Stream& test(std::uint64_t young, std::uint64_t va = kVa, std::uint64_t mm = kMm) {
        emit(Event::kPtepClearFlushYoung, {mm, va, 0, 0x67});
        return emit(Event::kPtepClearFlushYoungRet, {young}), *this;
    }
    Stream& ask(std::uint64_t young, std::uint64_t va = kVa, std::uint64_t mm = kMm) {
        emit(Event::kMnClearFlushYoung, {mm, va, va + 0x1000});
        return emit(Event::kMnClearFlushYoungRet, {young}), *this;
    }
    Stream& walk() { return emit(Event::kPageVmaMappedWalk, {kPfn, kMm, kVa, 0}), *this; }
    Stream& unlock() { return emit(Event::kPtlUnlock, {0x40}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream, Vocabulary vocabulary = Vocabulary::kSimulation) {
    return test::judge<SecondaryAgingMonitor>(stream, vocabulary);
}

TEST_CASE("rule N19: clients are asked after the CPU, whatever its bit was", "[unit][oracle]") {
    for (const std::uint64_t young : {0, 1}) {
        const auto verdict = judge(
            Stream().watched().referenced().one().test(young).ask(0).unlock().one_ret().counted(
                young));
        CHECK(verdict.judged == 2);  // the entry, and the count
        CHECK(verdict.violated == 0);
    }
    // Two entries of a compound page under one lock, as captures show it.
    CHECK(judge(Stream().watched().test(0).ask(0).walk().test(1, 0x2000).ask(0, 0x2000).walk())
              .violated == 0);
}

TEST_CASE("rule N19: clients that are not asked under the lock break it", "[unit][oracle]") {
    const std::string missing =
        "clear_flush_young of mm 2 va 0x1000 did not follow the clearing of the CPU's accessed bit "
        "at 20 ns";
    const auto verdict = judge(Stream().watched().test(0).unlock().ask(0));
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() == missing);
    CHECK(verdict.breaches[0].window == rmap::nanoseconds(20));
    CHECK(judge(Stream().watched().test(1).walk()).missing() == missing);
    CHECK(judge(Stream().watched().test(1).one_ret()).missing() == missing);
    CHECK(judge(Stream().watched().test(0).unmap_ret(1)).missing() == missing);
    CHECK(judge(Stream().watched().test(0).test(0, 0x2000).ask(0, 0x2000).walk()).missing() ==
          missing);
    CHECK(judge(Stream().watched().test(0).ask(0, 0x2000).unlock()).violated == 1);
    CHECK(judge(Stream().watched().test(0).ask(0, kVa, 3).unlock()).violated == 1);
    CHECK(judge(Stream().watched().test(0).by(1).ask(0).by(0).unlock()).violated == 1);
}

TEST_CASE("rule N19: clients that are asked first break it", "[unit][oracle]") {
    const std::string missing =
        "clear_flush_young of mm 2 va 0x1000 came before the CPU's accessed bit was cleared at 40 "
        "ns";
    CHECK(judge(Stream().watched().ask(0).test(0).unlock()).missing() == missing);
    Stream inside;
    inside.watched().emit(Event::kPtepClearFlushYoung, {kMm, kVa, 0, 0x67});
    inside.ask(0).emit(Event::kPtepClearFlushYoungRet, {0});
    CHECK(judge(inside.unlock()).missing().find("came before") != std::string::npos);
    // Of the last hold.
    CHECK(judge(Stream().watched().ask(0).unlock().test(0).unlock()).missing().find("follow") !=
          std::string::npos);
    // Early and again in time.
    CHECK(judge(Stream().watched().ask(0).test(0).ask(0).unlock()).violated == 0);
}

TEST_CASE("rule N19: an mm without notifiers has nobody to ask", "[unit][oracle]") {
    CHECK(judge(Stream().watched().test(1, kVa, 3).unlock()).judged == 0);
}

TEST_CASE("rule N19: try_to_unmap_one keeps a page that anybody has used", "[unit][oracle]") {
    const auto violated = [](std::uint64_t cpu, std::uint64_t client, std::uint64_t ret) {
        const auto verdict =
            judge(Stream().watched().unmap().test(cpu).ask(client).unlock().unmap_ret(ret));
        CHECK(verdict.judged == 2);
        if (verdict.violated)
            CHECK(verdict.missing() == "try_to_unmap_one did not stop at a page that was in use");
        return verdict.violated;
    };
    CHECK(violated(0, 0, 1) == 0);
    CHECK(violated(0, 0, 0) == 0);  // kept for another reason
    CHECK(violated(1, 0, 0) == 0);
    CHECK(violated(0, 1, 0) == 0);
    CHECK(violated(1, 0, 1) == 1);
    CHECK(violated(0, 1, 1) == 1);
    // What an earlier visit saw does not count.
    CHECK(
        judge(
            Stream().watched().unmap().test(1).ask(0).unmap_ret(0).unmap().test(0).ask(0).unmap_ret(
                1))
            .violated == 0);
}

TEST_CASE("rule N19: page_referenced counts every VMA that has used the page and no other",
          "[unit][oracle]") {
    const auto with = [](std::uint64_t client, std::uint64_t counted, Vocabulary vocabulary) {
        Stream stream;
        stream.watched().referenced().one().test(0).ask(client).unlock().one_ret();
        stream.one().test(0).ask(0).unlock().one_ret().counted(counted);
        return judge(stream, vocabulary);
    };
    CHECK(with(1, 1, Vocabulary::kSimulation).judged == 3);
    CHECK(with(1, 1, Vocabulary::kSimulation).violated == 0);
    CHECK(with(1, 0, Vocabulary::kSimulation).missing() ==
          "page_referenced counted 0 VMAs, but 1 of 2 had used the page");
    CHECK(with(0, 1, Vocabulary::kSimulation).missing() ==
          "page_referenced counted 1 VMAs, but 0 of 2 had used the page");
    CHECK(with(1, 2, Vocabulary::kSimulation).violated == 1);
    CHECK(with(0, 1, Vocabulary::kCapture50).violated == 0);  // PG_young
    CHECK(with(1, 0, Vocabulary::kCapture50).violated == 0);  // VM_SEQ_READ
    // Nobody was visited: the page could not be locked.
    CHECK(judge(Stream().watched().referenced().counted(1)).judged == 0);
    // The visits are those of this call.
    CHECK(judge(Stream()
                    .watched()
                    .referenced()
                    .one()
                    .test(1)
                    .ask(0)
                    .one_ret()
                    .counted(1)
                    .referenced()
                    .one()
                    .test(0)
                    .ask(0)
                    .one_ret()
                    .counted(1))
              .violated == 1);
}

}  // namespace
}  // namespace mmusim::platform
