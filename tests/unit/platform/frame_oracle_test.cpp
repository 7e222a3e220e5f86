// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/frame_oracle.hpp"

#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/support/event_stream.hpp"
#include "tests/support/judge_use.hpp"

namespace mmusim::platform {
namespace {

using models::AccessRecord;
using rmap::Access;
using rmap::Duration;
using rmap::FrameNumber;
using rmap::Instant;

constexpr FrameNumber kFrame{0x1a2b};

struct Bench {
    FlushHistory history;
    SecondaryHistory secondary;
    OperationNames operations;
    FrameOracle oracle{{history, secondary},
                       operations,
                       {[](rmap::ActorId actor) { return "core" + std::to_string(actor); },
                        [](rmap::ActorId actor, rmap::Access) {
                            return "core" + std::to_string(actor) + ".l1_tlb";
                        }}};

    void end(rmap::Generation generation, std::uint64_t ps, FrameEndKind kind,
             FrameNumber frame = kFrame) {
        oracle.frame_ended(frame, {generation, kind, Instant{ps}, rmap::operation_id(0, 1)});
    }
    void use(std::uint64_t ps, rmap::Generation generation, Access access = Access::kRead,
             rmap::ActorId agent = 3, FrameNumber frame = kFrame) {
        AccessRecord record;
        record.time = Instant{ps};
        record.filled = Instant{ps / 2};
        record.page = {0x100000003};
        record.frame = frame;
        record.generation = generation;
        record.access = access;
        record.mm = 2;
        test::judge_use(oracle, agent, record);
    }
};

TEST_CASE("frame_oracle: no access from the free on and none before it is wrong",
          "[unit][oracle]") {
    for (const Access access : {Access::kRead, Access::kWrite}) {
        Bench bench;
        bench.end(4, 1000, FrameEndKind::kFreed);
        bench.use(999, 4, access);
        CHECK(bench.oracle.stale_uses() == 0);
        bench.use(1000, 4, access);
        CHECK(bench.oracle.stale_uses() == 1);
        bench.use(1001, 4, access);
        CHECK(bench.oracle.stale_uses() == 2);
        CHECK(bench.oracle.lost_writes() == 0);
        CHECK(bench.oracle.checked() == 3);
    }
}

TEST_CASE("frame_oracle: no write from the sealing on and reads until the free", "[unit][oracle]") {
    Bench bench;
    bench.end(4, 1000, FrameEndKind::kSealed);
    bench.end(5, 2000, FrameEndKind::kFreed);
    bench.use(999, 4, Access::kWrite);
    bench.use(1000, 4, Access::kRead);
    bench.use(1999, 4, Access::kRead);
    CHECK(bench.oracle.lost_writes() == 0);
    bench.use(1000, 4, Access::kWrite);
    bench.use(1001, 4, Access::kWrite);
    CHECK(bench.oracle.lost_writes() == 2);
    CHECK(bench.oracle.stale_uses() == 0);
    bench.use(2000, 4, Access::kRead);
    bench.use(2001, 4, Access::kWrite);
    CHECK(bench.oracle.stale_uses() == 2);
    CHECK(bench.oracle.lost_writes() == 2);
    CHECK(bench.oracle.checked() == 7);
}

TEST_CASE("frame_oracle: a translation made after the sealing is legal", "[unit][oracle]") {
    Bench bench;
    bench.end(4, 1000, FrameEndKind::kSealed);
    bench.use(1500, 5, Access::kWrite);
    CHECK(bench.oracle.lost_writes() == 0);
    bench.end(5, 2000, FrameEndKind::kFreed);
    bench.use(1999, 5, Access::kWrite);
    CHECK(bench.oracle.stale_uses() == 0);
    bench.use(2000, 5, Access::kWrite);
    CHECK(bench.oracle.stale_uses() == 1);
    bench.use(3000, 6, Access::kWrite);
    CHECK(bench.oracle.stale_uses() == 1);
}

TEST_CASE("frame_oracle: an old translation is judged by the end of its own generation",
          "[unit][oracle]") {
    Bench bench;
    bench.end(0, 1000, FrameEndKind::kFreed);
    bench.end(1, 2000, FrameEndKind::kFreed);
    bench.end(2, 3000, FrameEndKind::kFreed);
    bench.use(1500, 1);
    CHECK(bench.oracle.stale_uses() == 0);
    bench.use(2500, 1);
    const auto violations = bench.oracle.finish();
    REQUIRE(violations.size() == 1);
    CHECK(violations[0].window == Duration{500});
}

TEST_CASE("frame_oracle: a skipped generation ends with the next one", "[unit][oracle]") {
    Bench bench;
    bench.end(7, 1000, FrameEndKind::kFreed);
    bench.use(999, 5);
    CHECK(bench.oracle.stale_uses() == 0);
    bench.use(1000, 5);
    CHECK(bench.oracle.stale_uses() == 1);
}

TEST_CASE("frame_oracle: frames are independent and may be unknown", "[unit][oracle]") {
    Bench bench;
    bench.end(4, 1000, FrameEndKind::kFreed);
    bench.use(5000, 0, Access::kWrite, 3, {0x1a2a});
    bench.use(5000, 0, Access::kWrite, 3, {0x1a2c});
    bench.use(5000, 0, Access::kWrite, 3, {std::uint64_t{1} << 40});
    CHECK(bench.oracle.stale_uses() == 0);
    CHECK(bench.oracle.checked() == 3);
}

TEST_CASE("frame_oracle: a generation cannot end twice", "[unit][oracle]") {
    Bench bench;
    bench.end(4, 1000, FrameEndKind::kSealed);
    CHECK_THROWS_AS(bench.end(4, 2000, FrameEndKind::kFreed), rmap::InvariantError);
    CHECK_THROWS_AS(bench.end(3, 2000, FrameEndKind::kFreed), rmap::InvariantError);
}

TEST_CASE("frame_oracle: a violation says who used what and since when it was wrong",
          "[unit][oracle]") {
    Bench bench;
    bench.end(4, 1000, FrameEndKind::kFreed);
    bench.use(1600, 4);
    const auto violations = bench.oracle.finish();
    REQUIRE(violations.size() == 1);
    const Violation& violation = violations[0];
    CHECK(violation.rule == "stale-translation");
    CHECK(violation.time == Instant{1600});
    CHECK(violation.agent == "core3.l1_tlb");
    CHECK(violation.translation == "mm 2 va 0x100000003000 -> pfn 0x1a2b gen 4");
    CHECK(violation.entry_age == Duration{800});
    CHECK(violation.window == Duration{600});
    CHECK(violation.operation == rmap::operation_id(0, 1));
    CHECK(violation.operation_name == "operation 0.1");
}

TEST_CASE("frame_oracle: a use is explained by what its agent is", "[unit][oracle]") {
    const auto missing = [](rmap::ActorId device_tlb, rmap::VmId vm) {
        FlushHistory flushes;
        SecondaryHistory secondary;
        OperationNames operations;
        const auto name = [](rmap::ActorId) { return "agent"; };
        const auto tlb = [](rmap::ActorId, Access) { return "tlb"; };
        FrameOracle oracle{{flushes, secondary}, operations, {name, tlb, [=](rmap::ActorId) {
                                                                  return device_tlb;
                                                              }}};
        test::EventStream stream;
        stream.emit(rmap::Event::kPteClear, {2, 0x100000003000, 0, 0x67, kFrame.value, 4});
        stream.play(flushes);
        oracle.frame_ended(kFrame, {4, FrameEndKind::kFreed, Instant{50'000}, 0});
        AccessRecord record;
        record.time = Instant{60'000};
        record.page = {0x100000003};
        record.frame = kFrame;
        record.generation = 4;
        record.mm = 2;
        record.vm = vm;
        test::judge_use(oracle, 3, record);
        return oracle.finish().at(0).missing;
    };
    CHECK(missing(rmap::kNoActor, 0).find("no flush was issued") == 0);
    CHECK(missing(rmap::kNoActor, 1).find("mis-tagged: no second-stage entry") == 0);
    CHECK(missing(4, 0).find("invalidate_range was not called") == 0);
}

TEST_CASE("frame_oracle: repeated uses are folded into the first one", "[unit][oracle]") {
    Bench bench;
    bench.end(4, 1000, FrameEndKind::kSealed);
    bench.end(5, 9000, FrameEndKind::kFreed);
    for (std::uint64_t i = 0; i < 5; ++i) bench.use(1200 + i, 4, Access::kWrite);
    bench.use(1300, 4, Access::kWrite, 1);
    bench.use(9500, 4, Access::kWrite);
    bench.use(9500, 5, Access::kRead);
    const auto violations = bench.oracle.finish();
    REQUIRE(violations.size() == 3);  // the last two are of one agent, time and frame
    CHECK(violations[0].rule == "lost-write");
    CHECK(violations[0].window == Duration{200});
    CHECK(violations[0].missing.find("(first of 5 uses)") != std::string::npos);
    CHECK(violations[1].agent == "core1.l1_tlb");
    CHECK(violations[1].missing.find("uses") == std::string::npos);
    CHECK(violations[2].rule == "stale-translation");
    CHECK(bench.oracle.lost_writes() == 6);
    CHECK(bench.oracle.stale_uses() == 2);
}

TEST_CASE("frame_oracle: each violation is explained when its own time has come",
          "[unit][oracle]") {
    Bench bench;
    bench.end(4, 500'000, FrameEndKind::kFreed);
    bench.use(1'000'000, 4, Access::kRead, 0);
    bench.use(900'000'000, 4, Access::kRead, 1);
    test::EventStream stream;
    stream.at(1'002'000).emit(rmap::Event::kTryToUnmap);  // the first one's time is over
    stream.at(1'003'000).emit(rmap::Event::kPteClear, {2, 0x100000003000, 0, 0x67, 0x1a2b, 4});
    for (const auto& record : stream.records()) {
        bench.oracle.on_record(record);
        bench.history.on_record(record);
    }
    const auto violations = bench.oracle.finish();
    REQUIRE(violations.size() == 2);
    CHECK(violations[0].missing.find("was not cleared before") != std::string::npos);
    CHECK(violations[1].missing.find("was cleared at 1003000 ns") != std::string::npos);
}

/// A device whose process has unmapped two pages, the second of which hazard HZ7 keeps in the
/// IOTLB.
struct DeviceBench {
    static constexpr rmap::ActorId kDma = 9, kAtc = 10;
    static constexpr std::uint64_t kFirst = 0x100000001000, kSecond = 0x100000002000;

    FlushHistory flushes;
    SecondaryHistory secondary;
    OperationNames operations;
    FrameOracle oracle{{flushes, secondary},
                       operations,
                       {[](rmap::ActorId actor) { return "actor" + std::to_string(actor); },
                        [](rmap::ActorId actor, Access) { return "tlb" + std::to_string(actor); },
                        [](rmap::ActorId) { return kAtc; }}};

    /// `end`: of what the IOTLB invalidates; kSecond is what the kernel's descriptor names.
    explicit DeviceBench(std::uint64_t end = kSecond) {
        test::EventStream stream;
        stream.in(rmap::operation_id(0, 1));
        for (std::uint64_t i = 0; i < 2; ++i)
            stream.emit(rmap::Event::kPteClear,
                        {2, kFirst + i * 0x1000, 0, 0x67, kFrame.value + i, 4});
        for (const auto& record : stream.records()) flushes.on_record(record);
        test::EventStream call;
        call.at(100).in(rmap::operation_id(0, 1));
        call.emit(rmap::Event::kClientInvalidate, {1, 2, kFirst, kSecond + 0x1000});
        call.on(8).emit(rmap::Event::kIotlbInvalidated, {7, kFirst - 0x1000, end, 1});
        call.on(0).emit(rmap::Event::kClientInvalidateRet, {1, 2, kFirst, kSecond + 0x1000});
        for (const auto& record : call.records()) secondary.on_record(record);
        for (std::uint64_t i = 0; i < 2; ++i)
            oracle.frame_ended({kFrame.value + i}, {4, FrameEndKind::kFreed, Instant{200'000}, 0});
    }
    void use_second(std::uint64_t ns, rmap::ActorId agent = kDma) {
        AccessRecord record;
        record.time = Instant{ns * 1000};
        record.filled = Instant{1000};
        record.page = rmap::page_of(rmap::VirtAddr{kSecond});
        record.frame = {kFrame.value + 1};
        record.generation = 4;
        record.mm = 2;
        test::judge_use(oracle, agent, record);
    }
    void pass(std::uint64_t ns) {
        test::EventStream later;
        later.at(ns).emit(rmap::Event::kTryToUnmap);
        for (const auto& record : later.records()) oracle.on_record(record);
    }
};

TEST_CASE("frame_oracle: uses that a hazard explains are counted apart", "[unit][oracle]") {
    DeviceBench bench;
    bench.use_second(300);
    bench.use_second(310);
    bench.use_second(250, DeviceBench::kDma + 5);
    bench.pass(2'000'000);
    // Known by now, even when the history is not.
    test::EventStream later;
    for (std::size_t i = 0; i <= FlushHistory::kKept; ++i)
        later.at(2'000'000).emit(rmap::Event::kPteClear, {9, 0x1000, 0, 0x67, 1, 0});
    later.play(bench.flushes);
    bench.use_second(2'100'000);
    CHECK(bench.oracle.finish().empty());
    CHECK(bench.oracle.stale_uses() == 0);
    REQUIRE(bench.oracle.hazard_uses().size() == 1);
    const auto& uses = bench.oracle.hazard_uses().at("HZ7");
    CHECK(uses.count == 4);
    CHECK(uses.first.agent == "tlb14");
    CHECK(uses.first.window == rmap::nanoseconds(50));
    CHECK(uses.first.missing.find("hazard HZ7: the IOTLB was invalidated for ") == 0);
}

TEST_CASE("frame_oracle: a narrower invalidation than the kernel's stays a violation",
          "[unit][oracle]") {
    DeviceBench bench(DeviceBench::kFirst);
    bench.use_second(300);
    const auto violations = bench.oracle.finish();
    REQUIRE(violations.size() == 1);
    CHECK(violations[0].missing.find("the IOTLB was invalidated for ") == 0);
    CHECK(bench.oracle.stale_uses() == 1);
    CHECK(bench.oracle.hazard_uses().empty());
}

TEST_CASE("frame_oracle: more uses than are kept are hazards all the same", "[unit][oracle]") {
    DeviceBench bench;
    for (std::uint64_t i = 0; i < kMaxViolations + 10; ++i) {
        bench.use_second(300 + i * 1'100'000, static_cast<rmap::ActorId>(100 + i));
        bench.pass(300 + (i + 1) * 1'100'000);
    }
    CHECK(bench.oracle.finish().empty());
    CHECK(bench.oracle.stale_uses() == 0);
    CHECK(bench.oracle.hazard_uses().at("HZ7").count == kMaxViolations + 10);
}

TEST_CASE("frame_oracle: keeps the earliest violations whatever order they are found in",
          "[unit][oracle]") {
    constexpr std::uint64_t kAgents = 3, kFrames = 600;
    const auto run = [&](bool backwards) {
        Bench bench;
        for (std::uint64_t frame = 0; frame < kFrames; ++frame)
            bench.end(0, 10, FrameEndKind::kFreed, {frame});
        // Each agent by itself in ascending time, but the agents one after the other.
        for (std::uint64_t i = 0; i < kAgents; ++i) {
            const auto agent = static_cast<rmap::ActorId>(backwards ? kAgents - 1 - i : i);
            for (std::uint64_t use = 0; use < 2 * kFrames; ++use)
                bench.use(100 + 7 * use + agent, 0, Access::kRead, agent, {use % kFrames});
        }
        std::vector<std::string> found;
        for (const Violation& violation : bench.oracle.finish())
            found.push_back(std::to_string(violation.time.ps) + violation.agent +
                            violation.translation + violation.missing);
        CHECK(bench.oracle.stale_uses() == kAgents * 2 * kFrames);
        return found;
    };
    const auto forwards = run(false);
    CHECK(forwards.size() == kMaxViolations);
    CHECK(forwards == run(true));
}

}  // namespace
}  // namespace mmusim::platform
