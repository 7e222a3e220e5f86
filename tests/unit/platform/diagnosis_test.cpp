// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/unit/platform/diagnosis_bench.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;

constexpr std::uint64_t kTop = ~std::uint64_t{0};
constexpr rmap::ActorId kInitiator = 0, kVictim = kCore;

/// What led to core 3 reading pfn 0x1a2b at 1300 ns, though core 0 had freed it at 1250 ns.
struct Story : test::EventStream {
    Story& clear(Event how = Event::kPtepClearFlush, std::uint64_t mm = kMm) {
        in(kUnmap).on(kInitiator);
        return emit(how, {mm, kVa, 0, 0x67, kPfn, kGen}), *this;
    }
    Story& range(std::uint64_t start = kVa, std::uint64_t end = kVa + 0x1000,
                 std::uint64_t mm = kMm) {
        on(kInitiator).emit(Event::kFlushTlbMmRange, {mm, start, end, 12, 0});
        return *this;
    }
    Story& range_ret() { return on(kInitiator).emit(Event::kFlushTlbMmRangeRet), *this; }
    Story& batch(std::uint64_t mask = 0xe) {
        return on(kInitiator).emit(Event::kArchTlbbatchFlush, {mask}), *this;
    }
    Story& batch_ret() { return on(kInitiator).emit(Event::kArchTlbbatchFlushRet), *this; }
    Story& mask(std::uint64_t mask) {
        return on(kInitiator).emit(Event::kCpumaskRead, {kMm, mask}), *this;
    }
    Story& others(std::uint64_t mask) {
        on(kInitiator).emit(Event::kFlushTlbOthers, {mask, kMm, kVa, kVa + 0x1000, 7});
        return *this;
    }
    Story& handle() {
        on(kVictim).emit(Event::kFlushTlbFunc, {1, kMm, kVa, kVa + 0x1000, 7});
        return *this;
    }
    Story& invalidate(std::uint64_t start = kVa, std::uint64_t end = kVa + 0x1000,
                      std::uint64_t mm = kMm) {
        return on(kVictim).emit(Event::kTlbInvalidated, {mm, start, end, 7}), *this;
    }
    Story& ack() { return on(kVictim).emit(Event::kCallFunctionAck, {kInitiator}), *this; }
    Story& time(std::uint64_t ns) { return at(ns), *this; }
};

StaleUse stale_use(std::uint64_t filled_ns = 500) { return stale_use_by(kCore, filled_ns); }

Diagnosis diagnosis(const Story& story, const StaleUse& use = stale_use()) {
    return diagnose_after(story, use);
}
std::string missing(const Story& story, const StaleUse& use = stale_use()) {
    return diagnosis(story, use).missing;
}

TEST_CASE("diagnosis: no flush at all", "[unit][oracle]") {
    const auto result = diagnosis(Story().time(1000).clear());
    CHECK(result.missing ==
          "no flush was issued for mm 2 va 0x100000003000 between its clear at 1000 ns and the "
          "free at 1250 ns");
    CHECK(result.operation == kUnmap);
    StaleUse use = stale_use();
    use.end.kind = FrameEndKind::kSealed;
    CHECK(missing(Story().time(1000).clear(), use) ==
          "no flush was issued for mm 2 va 0x100000003000 between its clear at 1000 ns and the "
          "hand-over of its content at 1250 ns");
}

TEST_CASE("diagnosis: flushes that have nothing to do with it", "[unit][oracle]") {
    const std::string none = missing(Story().time(1000).clear());
    CHECK(missing(Story().time(900).range().range_ret().time(1000).clear()) == none);
    CHECK(missing(Story().time(1000).clear().range(kVa, kTop, 9).range_ret()) == none);
    // A batch flush is owed only to what was put off.
    CHECK(missing(Story().time(1000).clear().batch().batch_ret()) == none);
}

TEST_CASE("diagnosis: the flush came after the free", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear(Event::kPteClearDefer).time(1280).batch()) ==
          "the batch flush came at 1280 ns, 30 ns after the free");
    CHECK(missing(Story().time(1000).clear().time(1350).range()) ==
          "flush_tlb_mm_range came at 1350 ns, 100 ns after the free");
    CHECK(missing(Story().time(1000).clear().time(1250).range().range_ret()).find("after") ==
          std::string::npos);
}

TEST_CASE("diagnosis: what came much later was not late but missing", "[unit][oracle]") {
    const auto with_flush_at = [](std::uint64_t ns) {
        return missing(Story().time(1000).clear(Event::kPteClearDefer).time(ns).batch());
    };
    const std::uint64_t horizon = 1300 + kHindsight.ps / 1000;
    CHECK(with_flush_at(horizon).find("came at") != std::string::npos);
    CHECK(with_flush_at(horizon + 1).find("no flush was issued") == 0);
}

TEST_CASE("diagnosis: the flush was too narrow", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear().range(kVa + 0x1000, kVa + 0x2000).range_ret()) ==
          "flush_tlb_mm_range [0x100000004000, 0x100000005000) at 1010 ns did not cover mm 2 va "
          "0x100000003000");
    CHECK(missing(Story().time(1000).clear().range(kVa - 0x1000, kVa).range_ret())
              .find("did not cover") != std::string::npos);
}

TEST_CASE("diagnosis: the CPU invalidated something else", "[unit][oracle]") {
    CHECK(missing(Story()
                      .time(1000)
                      .clear()
                      .range()
                      .handle()
                      .invalidate(kVa + 0x1000, kVa + 0x2000)
                      .ack()
                      .range_ret()) ==
          "core3 invalidated [0x100000004000, 0x100000005000) of mm 2 at 1030 ns, which does not "
          "cover mm 2 va 0x100000003000");
    CHECK(missing(Story().time(1000).clear().range().handle().invalidate(0, kTop, 9).range_ret())
              .find("core3 invalidated everything of mm 9") == 0);
}

TEST_CASE("diagnosis: the CPU was in the mask but no target", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear().range().mask(0xf).others(0xf).range_ret()) ==
          "core3 was in mm_cpumask but was not a target of the shootdown at 1010 ns");
    CHECK(missing(Story().time(1000).clear(Event::kPteClearDefer).batch(0xe).batch_ret()) ==
          "core3 was in the batch's cpumask but was not a target of the shootdown at 1010 ns");
    // It took part in a later one only.
    CHECK(missing(Story()
                      .time(1000)
                      .clear()
                      .range()
                      .mask(0xf)
                      .range_ret()
                      .time(1500)
                      .range()
                      .handle()
                      .invalidate()
                      .ack()
                      .range_ret())
              .find("was not a target") != std::string::npos);
}

TEST_CASE("diagnosis: the CPU was not in the mask", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear().range().mask(0x7).range_ret()) ==
          "core3 was not in mm_cpumask 0x7 of the flush at 1010 ns");
    CHECK(missing(Story().time(1000).clear().range().others(0x7).range_ret()) ==
          "core3 was not in mm_cpumask 0x7 of the flush at 1010 ns");
    CHECK(missing(Story().time(1000).clear(Event::kPteClearDefer).batch(0x6).batch_ret()) ==
          "core3 was not in the batch's cpumask 0x6 of the flush at 1010 ns");
}

TEST_CASE("diagnosis: the CPU was taken for lazy", "[unit][oracle]") {
    Story story;
    story.time(1000).clear().range().mask(0xf);
    story.on(kInitiator).emit(Event::kTlbIsNotLazy, {kVictim}).emit(Event::kTlbIsNotLazyRet, {0});
    CHECK(missing(story.range_ret()) == "core3 was left out of the shootdown at 1010 ns as lazy");
}

TEST_CASE("diagnosis: the CPU acknowledged before it invalidated", "[unit][oracle]") {
    CHECK(missing(Story()
                      .time(1000)
                      .clear()
                      .range()
                      .time(1200)
                      .ack()
                      .time(1220)
                      .range_ret()
                      .time(1350)
                      .invalidate()) == "core3 acknowledged at 1200 ns but invalidated at 1350 ns");
    CHECK(missing(Story().time(1000).clear().range().time(1200).ack().range_ret()) ==
          "core3 acknowledged at 1200 ns without invalidating");
}

TEST_CASE("diagnosis: the CPU was late", "[unit][oracle]") {
    CHECK(
        missing(
            Story().time(1000).clear().range().time(1240).handle().time(1320).invalidate().ack()) ==
        "core3 invalidated at 1320 ns, 70 ns after the free");
}

TEST_CASE("diagnosis: the CPU saw nothing to do", "[unit][oracle]") {
    Story story;
    story.time(1000).clear().range().handle().on(kVictim).emit(Event::kTlbFlush, {1, 0});
    CHECK(missing(story.ack().range_ret()) ==
          "core3 took its tlb_gen for current at 1030 ns and invalidated nothing");
    CHECK(missing(Story().time(1000).clear().range().handle().range_ret()) ==
          "core3 handled the request at 1020 ns without invalidating");
}

TEST_CASE("diagnosis: the initiator forgot itself", "[unit][oracle]") {
    StaleUse use = stale_use();
    use.agent = kInitiator;
    Story story;
    story.time(1000).clear().range();
    // Its announcement of what it asks of others is not its own flush.
    story.on(kInitiator).emit(Event::kTlbFlush, {4, 0});
    CHECK(missing(story.range_ret(), use) ==
          "core0 did not flush its own TLB in the flush it began at 1010 ns");
}

TEST_CASE("diagnosis: the entry survived its invalidation", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear().range().handle().invalidate().ack().range_ret()) ==
          "mis-tagged: core3 invalidated [0x100000003000, 0x100000004000) of mm 2 at 1030 ns and "
          "kept the entry");
}

TEST_CASE("diagnosis: the entry was filled after its invalidation", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear().range().handle().invalidate().ack().range_ret(),
                  stale_use(1030)) ==
          "filled at 1030 ns from the PTE that was cleared at 1000 ns, after core3 had "
          "invalidated [0x100000003000, 0x100000004000) at 1030 ns");
}

TEST_CASE("diagnosis: the translation belongs to another address space", "[unit][oracle]") {
    CHECK(missing(Story().time(1000).clear(Event::kPtepClearFlush, 7).range().range_ret()) ==
          "mis-tagged: used in mm 2, but what was cleared is of mm 7");
}

TEST_CASE("diagnosis: a clear of the same address space comes before one of another",
          "[unit][oracle]") {
    // Parent and child of a fork map the page at one address.
    Story story;
    story.time(1000).clear().clear(Event::kPtepClearFlush, 7);
    CHECK(missing(story).find("no flush was issued for mm 2 va 0x100000003000 between") == 0);
}

TEST_CASE("diagnosis: the PTE was cleared too late or not at all", "[unit][oracle]") {
    CHECK(missing(Story().time(1290).clear()) ==
          "the PTE of mm 2 va 0x100000003000 was cleared at 1290 ns, 40 ns after the free");
    const auto never = diagnosis(Story().time(1000).range());
    CHECK(never.missing ==
          "the PTE of mm 2 va 0x100000003000 was not cleared before the free at 1250 ns");
    CHECK(never.operation == kFree);
    CHECK(missing(Story().time(1301 + kHindsight.ps / 1000).clear()) == never.missing);
}

TEST_CASE("diagnosis: the last clear before the end is the one that counts", "[unit][oracle]") {
    // Cleared, flushed, restored and cleared again.
    Story story;
    story.time(900).clear().range().handle().invalidate().ack().range_ret();
    story.time(1100).clear().time(1400).clear();
    CHECK(missing(story).find("between its clear at 1100 ns") != std::string::npos);
}

TEST_CASE("diagnosis: admits what it has forgotten", "[unit][oracle]") {
    const std::string dropped = "unknown: history dropped";
    Story clears;
    clears.time(1000).clear().on(kInitiator);
    for (std::size_t i = 0; i < FlushHistory::kKept; ++i)
        clears.time(1001).emit(Event::kPteClear, {kMm, kVa, 0, 0x67, 1, 0});
    CHECK(missing(clears) == dropped);

    Story rounds;
    rounds.time(1000).clear().on(kInitiator);
    for (std::size_t i = 0; i <= FlushHistory::kKept; ++i)
        rounds.time(1001).range(0, 0x1000, 9).range_ret();
    CHECK(missing(rounds) == dropped);

    Story acts;
    acts.time(1000).clear().range().range_ret();
    for (std::size_t i = 0; i <= FlushHistory::kActsKept; ++i) acts.time(1100).ack();
    CHECK(missing(acts) == dropped);
}

}  // namespace
}  // namespace mmusim::platform
