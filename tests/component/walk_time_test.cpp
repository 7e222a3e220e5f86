// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>

#include "rmap/types/pte.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_guest.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::CoreModule;
using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

constexpr VirtAddr kPage{0x100000000000};
constexpr std::uint64_t kMapped = Pte::kWritable | Pte::kAccessed | Pte::kDirty;
const Duration kAccess = nanoseconds(1);

/// A cache for each of the levels 2 to 4.
platform::PlatformConfig cached_platform(unsigned cores) {
    auto config = test_platform(1, cores);
    config.memory.cache = {1024, 4096};  // the first entries of all tables stay in the L1
    for (unsigned level = 2; level <= 4; ++level)
        config.mmu.walker.first.caches.push_back(
            {"level" + std::to_string(level), level, {4, 4, {}, {}}, nanoseconds(level)});
    return config;
}

void enter(CoreModule& core, TestMachine& machine) {
    TlbOperation op;
    op.kind = TlbOperation::Kind::kCr3Write;
    op.root = machine.root();
    op.pcid = 1;
    core.maintain(op, nanoseconds(1), Part::kSwitch);
}

struct Costs {
    explicit Costs(const platform::PlatformConfig& c)
        : tlbs(c.mmu.tlbs[0].lookup + c.mmu.tlbs[1].lookup),
          fills(c.mmu.tlbs[0].fill + c.mmu.tlbs[1].fill),
          config(c) {}
    /// From the access to the read of the last of `reads` entries; all lines are in the L1.
    Duration until_read(unsigned reads) const {
        const auto& walker = config.mmu.walker;
        return tlbs + walker.start + walker.first.caches.back().lookup + walker.level * reads +
               config.memory.latency.l1 * (reads - 1);
    }
    Duration access(unsigned reads) const {
        return until_read(reads) + config.memory.latency.l1 + fills + kAccess;
    }
    Duration tlbs, fills;
    platform::PlatformConfig config;
};

void sleep_until(CoreModule& core, Instant at) {
    core.time().spend(at - core.time().local_now(), Part::kUser);
}

}  // namespace

TEST_CASE("mmu: a walk costs its start and a lookup and each level that no cache knows",
          "[component][mmu]") {
    const auto config = cached_platform(1);
    const Costs costs(config);
    TestMachine machine(config);
    // Page n shares the tables down to level n with the page before it, and not the entry.
    VirtAddr pages[5] = {kPage};
    for (unsigned level = 1; level <= 4; ++level)
        pages[level] = pages[level - 1] + (1ull << (12 + 9 * (level - 1)));
    for (unsigned n = 0; n <= 4; ++n) machine.map(pages[n], FrameNumber{500 + n}, kMapped);
    models::WalkerStats before;
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        for (const VirtAddr page : pages) core.access(page, Access::kRead, kAccess);  // the lines
        enter(core, machine);  // and nothing else is known
        before = machine->mmu(0).walker.stats();
        const auto timed = [&](VirtAddr page) {
            const auto begin = core.time().local_now();
            CHECK(core.access(page, Access::kRead, kAccess) == Fault::kNone);
            return core.time().local_now() - begin;
        };
        CHECK(timed(pages[0]) == costs.access(4));
        for (unsigned level = 1; level <= 4; ++level) {
            CAPTURE(level);
            CHECK(timed(pages[level]) == costs.access(level));
        }
    });
    machine.run();
    const auto& stats = machine->mmu(0).walker.stats();
    for (unsigned level = 2; level <= 4; ++level)
        CHECK(stats.first.cache_hits[level] == before.first.cache_hits[level] + 1);
    for (unsigned reads = 1; reads <= 4; ++reads)
        CHECK(stats.walks_by_reads[reads] == before.walks_by_reads[reads] + (reads == 4 ? 2 : 1));
}

TEST_CASE("mmu: a walk that begins below cached tables reads the entry when its times add up",
          "[component][mmu]") {
    // The other core clears the entry: a read at X + C finds it clear, one a tick earlier does not.
    const auto fault_of_read_at = [](Duration before_visible) {
        const auto config = cached_platform(2);
        const Costs costs(config);
        TestMachine machine(config);
        machine.map(kPage, FrameNumber{500}, kMapped);
        machine.map(kPage + rmap::kPageSize, FrameNumber{501}, kMapped);
        const auto entry = machine.entry_of(kPage);
        Fault fault{};
        Instant cleared{};
        const auto clear_at = Instant{} + nanoseconds(3000);
        // A line that several cores share is taken by way of the last level.
        const auto serialised = clear_at + config.memory.latency.llc;
        machine.program(1, [&](CoreModule& core) {
            core.load(entry, Part::kPteAccess);
            sleep_until(core, clear_at);
            core.read_modify_write(
                entry,
                [&](rmap::Word, Instant at) {
                    cleared = at;
                    return rmap::Word{};
                },
                Part::kPteAccess);
        });
        machine.program(0, [&](CoreModule& core) {
            enter(core, machine);
            core.access(kPage + rmap::kPageSize, Access::kRead, kAccess);
            const auto visible = serialised + config.memory.visibility();
            sleep_until(core,
                        Instant{} + ((visible - Instant{}) - before_visible - costs.until_read(1)));
            fault = core.access(kPage, Access::kRead, kAccess);
        });
        machine.run();
        if (cleared != serialised) return std::string("cleared at another time");
        return std::string(fault == Fault::kNone ? "mapped" : "not mapped");
    };
    CHECK(run_in_child([&] { return fault_of_read_at(rmap::picoseconds(0)); }) == "not mapped");
    CHECK(run_in_child([&] { return fault_of_read_at(rmap::picoseconds(1)); }) == "mapped");
}

TEST_CASE("mmu: a nested walk costs what is not cached of its two stages", "[component][mmu]") {
    for (const bool combined : {true, false}) {
        const auto run = [combined] {
            auto config = cached_platform(1);
            auto& walker = config.mmu.walker;
            walker.nested =
                combined ? models::NestedCaching::kCombined : models::NestedCaching::kPerStage;
            walker.second_tlb =
                tlb_of({{"all", {0, 9}, {32, 8, {}, {}}}}, nanoseconds(3), nanoseconds(6));
            const auto& second_tlb = walker.second_tlb;
            const Costs costs(config);
            TestMachine machine(config);
            TestGuest guest(machine, 1);
            guest.back_all(TestGuest::kSmall);
            for (const unsigned n : {0, 1})
                guest.map(kPage + n * rmap::kPageSize, TestGuest::kData + n);
            std::string wrong;
            machine.program(0, [&](CoreModule& core) {
                const auto timed = [&](VirtAddr page, Duration expected, const char* what) {
                    const rmap::InterruptsOff off(core.time());
                    core.vm_entry(guest.context(), kAccess);
                    const auto begin = core.time().local_now();
                    core.access_guest(page, Access::kRead, kAccess);
                    const auto time = core.time().local_now() - begin;
                    core.vm_exit(kAccess);
                    if (time != expected)
                        wrong += std::string(what) + " " + std::to_string(time.ps) + " not " +
                                 std::to_string(expected.ps) + "; ";
                };
                const auto read = [&](unsigned reads, Duration line) {
                    return (walker.level + line) * reads;
                };
                const auto& memory = config.memory.latency;
                const auto start = costs.tlbs + walker.start + walker.first.caches.back().lookup;
                const auto end = costs.fills + kAccess;
                // Four entries and a page, each through a walk of the second stage: nine lines.
                timed(kPage,
                      start + (second_tlb.lookup + second_tlb.fill) * 5 + read(9, memory.dram) +
                          read(15, memory.l1) + end,
                      "cold");
                // The neighbour: its guest entry, whose place is known, and the place of its page.
                const unsigned lookups = combined ? 1 : 2;
                timed(kPage + rmap::kPageSize,
                      start + second_tlb.lookup * lookups + second_tlb.fill +
                          read(1 + 4, memory.l1) + end,
                      "neighbour");
            });
            machine.run();
            return wrong;
        };
        CAPTURE(combined);
        CHECK(run_in_child(run) == "");
    }
}

}  // namespace mmusim::test
