// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstdlib>
#include <set>
#include <string_view>

#include "platform/build/platform.hpp"
#include "tests/support/hammer.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_size.hpp"

namespace mmusim::test {

using rmap::Duration;
using rmap::nanoseconds;
using rmap::picoseconds;
using rmap::TimeRule;

namespace {

Duration automatic(const Hammer& hammer) {
    return platform::lookahead_of(hammer.platform).automatic();
}

HammerRun run(const Hammer& hammer, std::optional<Duration> quantum, unsigned order = 0,
              TimeRule broken = TimeRule::kNone) {
    HammerOptions options;
    options.quantum = quantum;
    options.creation_order = order;
    options.broken = broken;
    return run_hammer(hammer, options);
}

/// Wait per action, 1 ns, a third of the automatic quantum, a prime; three creation orders. In the
/// small size each order once, and 1 ps, at which a machine is slowest, is left to the first case.
HammerRun check_same(const Hammer& hammer) {
    const auto exact = run(hammer, std::nullopt);
    CHECK(exact.failure == "");
    CHECK(exact.late == 0);
    const auto same_as_exact = [&](Duration quantum, unsigned order) {
        const auto other = run(hammer, quantum, order);
        CHECK(other.late == 0);
        CHECK(other.same == exact.same);
    };
    same_as_exact({automatic(hammer).ps / 3}, 2);
    same_as_exact(picoseconds(7919), 1);
    if (small_size()) return exact;
    same_as_exact(picoseconds(1), 0);
    same_as_exact(nanoseconds(1), 1);
    CHECK(run(hammer, std::nullopt, 1).same == exact.same);
    CHECK(run(hammer, std::nullopt, 2).same == exact.same);
    return exact;
}

}  // namespace

TEST_CASE("time model: a small machine gives the same bytes at every exact quantum",
          "[platform][time]") {
    const Hammer hammer = small_hammer();
    const auto exact = run(hammer, std::nullopt);
    CHECK(exact.unmaps > 50);
    CHECK(exact.accesses > 1000);
    CHECK(exact.violations == 0);
    CHECK(run(hammer, picoseconds(1), 0).same == check_same(hammer).same);
}

TEST_CASE("time model: several initiators give the same bytes at every exact quantum",
          "[platform][time]") {
    CHECK(check_same(small_hammer(8, 4)).unmaps > 0);
}

TEST_CASE("time model: guests and devices give the same bytes at every exact quantum",
          "[platform][time]") {
    Hammer hammer = small_hammer(8, 2);
    add_guest(hammer, 3);
    add_device(hammer);
    const auto exact = check_same(hammer);
    CHECK(exact.unmaps > 0);
    CHECK(exact.violations == 0);
    CHECK(exact.guest_accesses > 1000);
    CHECK(exact.dma_accesses > 1000);
}

TEST_CASE("time model: 56 cores give the same bytes at every exact quantum", "[platform][time]") {
    Hammer hammer = small_hammer(56, 2);
    hammer.scenario.operations[0].rounds = 1;
    hammer.scenario.operations[1].rounds = 1;
    if (small_size()) hammer = small_hammer(12, 2);
    CHECK(check_same(hammer).unmaps > 0);
}

TEST_CASE("time model: injected faults give the same bytes and the same verdicts",
          "[platform][time]") {
    // These need a munmap or the OOM reaper, which this machine does not have.
    const std::set<std::string_view> cannot_matter{"none", "end-after-refusal",
                                                   "free-before-section", "unlock-inside-section"};
    std::set<std::string_view> missed;
    std::set<std::string_view> expected;
    // The verdicts of all of them are also those of injected_fault_test.cpp.
    const std::size_t every = test_size(1, 4);
    for (std::size_t i = 0; i < std::size(rmap::kInjectedFaults); i += every) {
        const auto& fault = rmap::kInjectedFaults[i];
        CAPTURE(fault.name);
        if (cannot_matter.count(fault.name)) expected.insert(fault.name);
        Hammer hammer = small_hammer(6, 2);
        add_guest(hammer, 2);
        add_device(hammer);
        hammer.scenario.injected_fault = fault.fault;
        // A range flush becomes a full one when others flush the same mm meanwhile.
        if (fault.fault == rmap::InjectedFault::kShrinkRange)
            hammer.scenario.operations.erase(hammer.scenario.operations.begin());
        // Every page has an access in flight.
        if (fault.fault == rmap::InjectedFault::kCompleteBeforeDma) {
            hammer.platform.devices[0].max_in_flight = 64;
            hammer.platform.devices[0].transfer = nanoseconds(4000);
        }
        // A core keeps a translation only where a set of its first TLB is used for one page alone.
        if (fault.fault == rmap::InjectedFault::kKeepGrant) hammer.scenario.regions[0].pages = 2;
        const auto exact = run(hammer, std::nullopt);
        CHECK(exact.failure == "");
        if (exact.violations == 0) missed.insert(fault.name);
        CHECK(run(hammer, nanoseconds(test_size(1, 4)), 1).same == exact.same);
    }
    CHECK(missed == expected);
}

TEST_CASE("time model: four times the automatic quantum changes the bytes and is reported late",
          "[platform][time]") {
    const Hammer hammer = small_hammer(8, 2);
    const auto exact = run(hammer, std::nullopt);
    const auto coarse = run(hammer, automatic(hammer) * 4);
    CHECK(coarse.late > 0);
    CHECK(coarse.same != exact.same);
}

TEST_CASE("time model: random machines give the same bytes at every exact quantum",
          "[platform][time]") {
    const char* first = std::getenv("MMUSIM_TEST_SEED");
    const std::uint64_t start = first ? std::strtoull(first, nullptr, 0) : 1;
    for (std::uint64_t seed = start; seed < start + test_size(50, 5); ++seed) {
        CAPTURE(seed);  // MMUSIM_TEST_SEED=<seed> replays it
        const Hammer hammer = random_hammer(seed);
        const auto exact = run(hammer, std::nullopt);
        CHECK(exact.failure == "");
        CHECK(exact.late == 0);
        const auto ticks = run(hammer, picoseconds(1 + seed * 7919 % automatic(hammer).ps), 1);
        REQUIRE(ticks.same == exact.same);
        REQUIRE(run(hammer, nanoseconds(1), 2).same == exact.same);
    }
}

TEST_CASE("time model: no late effect means the same bytes at any quantum", "[platform][time]") {
    unsigned late = 0;
    unsigned on_time = 0;
    for (std::uint64_t seed = 1; seed <= test_size(25, 5); ++seed) {
        CAPTURE(seed);
        const Hammer hammer = random_hammer(seed);
        // Some a little beyond, which may not matter, and some far beyond.
        const Duration exact = automatic(hammer);
        const auto quantum = seed % 2 ? exact + Duration{exact.ps / 64} : exact * (2 + seed % 7);
        const auto coarse = run(hammer, quantum);
        ++(coarse.late > 0 ? late : on_time);
        if (coarse.late == 0) CHECK(coarse.same == run(hammer, std::nullopt).same);
    }
    CHECK(late > 0);
    CHECK(on_time > 0);
}

TEST_CASE("time model: each broken rule is noticed by comparing quanta", "[platform][time]") {
    const auto rule = GENERATE(
        TimeRule::kObserveSettled, TimeRule::kGuestInterrupts, TimeRule::kDeviceInvalidations,
        TimeRule::kStoreVisibility, TimeRule::kSerialisedWrites, TimeRule::kOwnerFastPath,
        TimeRule::kLockOrder, TimeRule::kReadsAreEffects, TimeRule::kObserversJudgeLate);
    CAPTURE(static_cast<int>(rule));
    bool noticed = false;
    for (std::uint64_t seed = 1; seed <= 40 && !noticed; ++seed) {
        Hammer hammer = seed % 2 ? random_hammer(seed) : small_hammer(8, 2);
        if (rule == TimeRule::kObserversJudgeLate)
            hammer.scenario.injected_fault = rmap::InjectedFault::kSkipBatchFlush;
        const auto exact = run(hammer, std::nullopt, 0, rule);
        noticed = !exact.failure.empty() || exact.late > 0 ||
                  exact.same != run(hammer, nanoseconds(1), 1, rule).same;
    }
    CHECK(noticed);
}

TEST_CASE("time model: cores run ahead far enough to be fast", "[platform][time]") {
    Hammer busy = small_hammer(10, 1);
    busy.scenario.regions[0].pages = 8;  // hits in the first level
    busy.scenario.processes[0].write_percent = 0;
    busy.scenario.operations[0].rounds = 2;
    busy.scenario.operations[0].pause = nanoseconds(200000);
    const auto accessing = run(busy, std::nullopt);
    CHECK(accessing.failure == "");
    CHECK(accessing.accesses > 30 * accessing.switches);

    // An unmap makes about a hundred accesses to shared lines, most of them further apart than C.
    Hammer spinning = small_hammer(8, 1);
    spinning.scenario.processes[0].pattern = platform::AccessPattern::kIdle;
    spinning.scenario.regions[0].pages = 512;
    const auto unmapping = run(spinning, std::nullopt);
    CHECK(unmapping.failure == "");
    CHECK(unmapping.unmaps >= 512);
    CHECK(unmapping.switches < 220 * unmapping.unmaps);
}

}  // namespace mmusim::test
