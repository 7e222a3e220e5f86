// SPDX-License-Identifier: Apache-2.0
#include "tests/component/mmu_bench.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::CoreModule;
using models::Stream;
using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::nanoseconds;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

models::TlbConfig tlb(std::string name, unsigned level, std::vector<Stream> streams,
                      unsigned lookup) {
    auto config = split_tlb({8, 4}, {4, 4}, nanoseconds(lookup), nanoseconds(2));
    config.name = std::move(name);
    config.level = level;
    config.streams = std::move(streams);
    return config;
}

/// Split, unified, data only: fetches skip the third level.
platform::PlatformConfig three_levels() {
    auto config = test_platform(1, 1);
    config.mmu.tlbs = {tlb("itlb", 1, {Stream::kFetch}, 1), tlb("dtlb", 1, {Stream::kData}, 2),
                       tlb("l2_itlb", 2, {Stream::kFetch}, 4),
                       tlb("l2_dtlb", 2, {Stream::kData}, 8),
                       tlb("l3_tlb", 3, {Stream::kData, Stream::kFetch}, 16)};
    return config;
}

const models::TlbStats& stats(TestMachine& machine, std::size_t tlb) {
    return machine->mmu(0).tlbs()[tlb]->stats();
}

enum : std::size_t { kItlb, kDtlb, kL2Itlb, kL2Dtlb, kL3 };

}  // namespace

TEST_CASE("mmu levels: each stream has its own path and shares what serves both",
          "[component][mmu]") {
    const auto config = three_levels();
    const auto& tlbs = config.mmu.tlbs;
    const auto walk =
        (config.mmu.walker.level + config.memory.latency.dram) * 4 + config.mmu.walker.start;
    TestMachine machine(config);
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        const auto lookups = [&](std::initializer_list<std::size_t> levels) {
            Duration sum = kAccess;
            for (const auto level : levels) sum += tlbs[level].lookup;
            return sum;
        };
        const auto fill = nanoseconds(2);
        CHECK(access(core, kPage, Access::kExecute) ==
              lookups({kItlb, kL2Itlb, kL3}) + walk + fill * 3);
        CHECK(core.missed_levels() == 0b111);
        CHECK(access(core, kPage) == lookups({kDtlb, kL2Dtlb, kL3}) + fill * 2);
        CHECK(core.missed_levels() == 0b011);
        CHECK(access(core, kPage) == lookups({kDtlb}));
        CHECK(core.missed_levels() == 0);
        CHECK(access(core, kPage, Access::kExecute) == lookups({kItlb}));
    });
    machine.run();
    CHECK(stats(machine, kL3).lookups() == 2);
    CHECK(stats(machine, kL3).hits == 1);
    for (const auto level : {kItlb, kDtlb}) CHECK(stats(machine, level).lookups() >= 2);
    for (const auto level : {kL2Itlb, kL2Dtlb}) CHECK(stats(machine, level).lookups() == 1);
}

TEST_CASE("mmu levels: an invalidation reaches every TLB of the core", "[component][mmu]") {
    TestMachine machine(three_levels());
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        access(core, kPage);
        access(core, kPage, Access::kExecute);
        invalidate(core, TlbOperation::Kind::kInvlpg, kPage);
        access(core, kPage);
        CHECK(core.missed_levels() == 0b111);
        invalidate(core, TlbOperation::Kind::kInvlpg, kPage);
        access(core, kPage, Access::kExecute);
        CHECK(core.missed_levels() == 0b111);
    });
    machine.run();
    for (const auto level : {kItlb, kDtlb, kL2Itlb, kL2Dtlb, kL3})
        CHECK(stats(machine, level).invalidated >= 1);
}

TEST_CASE("mmu levels: instructions are fetched from executable pages only", "[component][mmu]") {
    TestMachine machine(three_levels());
    const VirtAddr data_only = kPage + rmap::kPageSize;
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.map(data_only, FrameNumber{501}, kMapped | Pte::kNoExecute);
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        access(core, data_only);  // now in the third level
        access(core, data_only, Access::kExecute, Fault::kProtection);
        CHECK(core.missed_levels() == 0b111);
        access(core, kPage);
        access(core, kPage, Access::kExecute);
        CHECK(core.missed_levels() == 0b011);
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().faults == 1);
}

TEST_CASE("mmu levels: a fetch sets the accessed bit and not the dirty one", "[component][mmu]") {
    TestMachine machine(three_levels());
    machine.map(kPage, FrameNumber{500}, Pte::kWritable);
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        access(core, kPage, Access::kExecute);
        const Pte entry(core.load(machine.entry_of(kPage), rmap::Part::kPteAccess).value);
        CHECK(entry.young());
        CHECK_FALSE(entry.dirty());
    });
    machine.run();
}

TEST_CASE("mmu levels: whoever asks all levels has those below a hit looked up as well",
          "[component][mmu]") {
    TestMachine machine(three_levels());
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        access(core, kPage);
        CHECK(access(core, kPage, Access::kRead, Fault::kNone, CoreModule::Ask::kAllLevels) >
              kAccess);
        CHECK(core.missed_levels() == 0);
    });
    machine.run();
    CHECK(stats(machine, kDtlb).hits == 1);
    CHECK(stats(machine, kL2Dtlb).hits == 1);
    CHECK(stats(machine, kL3).hits == 1);
    CHECK(machine->mmu(0).walker.stats().walks == 1);  // a hit is not passed on to the walker
}

TEST_CASE("mmu levels: what the levels below a hit answer is ignored", "[component][mmu]") {
    auto config = three_levels();
    for (auto& array : config.mmu.tlbs[kL2Dtlb].arrays) array.geometry.entries = 0;
    for (auto& array : config.mmu.tlbs[kL3].arrays) array.geometry.entries = 0;
    TestMachine machine(config);
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.program(0, [&](CoreModule& core) {
        enter(core, machine);
        access(core, kPage);
        core.store(machine.entry_of(kPage), {}, rmap::Part::kPteAccess);
        // The walk faults, the first level's entry is used all the same.
        access(core, kPage, Access::kRead, Fault::kNone, CoreModule::Ask::kAllLevels);
        CHECK(core.missed_levels() == 0b110);
        access(core, kPage);
        CHECK(core.missed_levels() == 0);
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().faults == 1);
}

}  // namespace mmusim::test
