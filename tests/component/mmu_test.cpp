// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/component/mmu_bench.hpp"

namespace mmusim::test {

using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::nanoseconds;
using rmap::Part;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

struct Costs {
    explicit Costs(const platform::PlatformConfig& c)
        : hit(c.mmu.tlbs[0].lookup + kAccess),
          l2_hit(hit + c.mmu.tlbs[1].lookup + c.mmu.tlbs[0].fill),
          walk_lookup(c.mmu.walker.start + c.mmu.walker.level * 4),
          miss(l2_hit + c.mmu.tlbs[1].fill + walk_lookup) {}
    Duration hit, l2_hit, walk_lookup, miss;  // miss: without the four reads
};

}  // namespace

TEST_CASE("mmu: a first access pays the walk and the next ones the first level only",
          "[component][mmu]") {
    const auto config = test_platform(1, 1);
    const Costs costs(config);
    const auto& memory = config.memory.latency;
    TestMachine machine(config);
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.map(kPage + rmap::kPageSize, FrameNumber{501}, kMapped);
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        CHECK(access(core, kPage) == costs.miss + memory.dram * 4);
        CHECK(access(core, kPage + 8) == costs.hit);
        // The neighbour's entries lie in the same four lines.
        CHECK(access(core, kPage + rmap::kPageSize) == costs.miss + memory.l1 * 4);
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().reads == 8);
    CHECK(machine->mmu(0).tlbs()[0]->stats().misses == 2);
    CHECK(machine->mmu(0).tlbs()[0]->stats().hits == 1);
}

TEST_CASE("mmu: a translation evicted from the first level hits in the second",
          "[component][mmu]") {
    const auto config = test_platform(1, 1);
    const Costs costs(config);
    TestMachine machine(config);
    // Five pages of one set of four ways.
    const std::uint64_t sets = config.mmu.tlbs[0].arrays[0].geometry.sets();
    for (unsigned i = 0; i < 5; ++i)
        machine.map(kPage + i * sets * rmap::kPageSize, FrameNumber{500 + i}, kMapped);
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        for (unsigned i = 0; i < 5; ++i) access(core, kPage + i * sets * rmap::kPageSize);
        CHECK(access(core, kPage) == costs.l2_hit);
    });
    machine.run();
}

TEST_CASE("mmu: each invalidation drops its scope and nothing else", "[component][mmu]") {
    const auto config = test_platform(1, 1);
    TestMachine machine(config);
    const VirtAddr other = kPage + rmap::kPageSize;
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.map(other, FrameNumber{501}, kMapped);
    const Costs costs(config);
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine, 1);
        const auto warm = [&] {
            access(core, kPage);
            access(core, other);
        };
        warm();
        invalidate(core, TlbOperation::Kind::kInvlpg, kPage);
        CHECK(access(core, kPage) > costs.l2_hit);
        CHECK(access(core, other) == costs.hit);

        warm();
        invalidate(core, TlbOperation::Kind::kInvpcidAddress, kPage, 2);
        CHECK(access(core, kPage) == costs.hit);
        invalidate(core, TlbOperation::Kind::kInvpcidAddress, kPage, 1);
        CHECK(access(core, kPage) > costs.l2_hit);

        warm();
        invalidate(core, TlbOperation::Kind::kCr3WriteNoFlush, {}, 1, machine.root());
        CHECK(access(core, kPage) == costs.hit);
        invalidate(core, TlbOperation::Kind::kCr3Write, {}, 2, machine.root());
        CHECK(access(core, kPage) > costs.l2_hit);  // another context
        invalidate(core, TlbOperation::Kind::kCr3WriteNoFlush, {}, 1, machine.root());
        CHECK(access(core, kPage) == costs.hit);  // which left this one alone
        invalidate(core, TlbOperation::Kind::kCr3Write, {}, 1, machine.root());
        CHECK(access(core, other) > costs.l2_hit);

        warm();
        invalidate(core, TlbOperation::Kind::kAll);
        CHECK(access(core, kPage) > costs.l2_hit);
        CHECK(access(core, other) > costs.l2_hit);
    });
    machine.run();
}

TEST_CASE("mmu: a store through a clean entry walks again and sets the dirty bit",
          "[component][mmu]") {
    TestMachine machine(test_platform(1, 1));
    machine.map(kPage, FrameNumber{500}, Pte::kWritable);
    const auto entry = machine.entry_of(kPage);
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        access(core, kPage);
        Pte pte(core.load(entry, Part::kPteAccess).value);
        CHECK(pte.young());
        CHECK_FALSE(pte.dirty());
        access(core, kPage, Access::kWrite);
        CHECK(Pte(core.load(entry, Part::kPteAccess).value).dirty());
        const auto walks = machine->mmu(0).walker.stats().walks;
        access(core, kPage, Access::kWrite);
        CHECK(machine->mmu(0).walker.stats().walks == walks);
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().assists == 2);
}

TEST_CASE("mmu: faults are reported and never cached", "[component][mmu]") {
    TestMachine machine(test_platform(1, 1));
    const VirtAddr read_only = kPage + rmap::kPageSize;
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.map(read_only, FrameNumber{501}, Pte::kAccessed);
    const VirtAddr absent = kPage + 2 * rmap::kPageSize;
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        access(core, absent, Access::kRead, Fault::kNotPresent);
        access(core, read_only);
        access(core, read_only, Access::kWrite, Fault::kProtection);
        core.store(rmap::PhysAddr{machine.entry_of(kPage).value + 16},
                   {Pte::present_entry(FrameNumber{502}, kMapped).raw(), 0}, Part::kPteAccess);
        access(core, absent);
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().faults == 2);
}

TEST_CASE("mmu: an entry that the kernel calls present is none without its first bit",
          "[component][mmu]") {
    TestMachine machine(test_platform(1, 1));
    machine.map(kPage, FrameNumber{500}, Pte::kProtNone | Pte::kAccessed);
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        for (const Access kind : {Access::kRead, Access::kWrite})
            CHECK(core.access(kPage, kind, kAccess) == Fault::kNotPresent);
    });
    machine.run();
}

TEST_CASE("mmu: a dirty bit is not set in an entry that was cleared meanwhile",
          "[component][mmu]") {
    const auto config = test_platform(1, 2);
    TestMachine machine(config);
    machine.map(kPage, FrameNumber{500}, Pte::kWritable | Pte::kAccessed);
    const auto entry = machine.entry_of(kPage);
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        access(core, kPage);
        // The walk reads the entry just before the other core's clearing becomes visible.
        core.time().spend(nanoseconds(2000) - (core.time().local_now() - rmap::Instant{}),
                          Part::kUser);
        access(core, kPage, Access::kWrite, Fault::kNotPresent);
        CHECK(core.load(entry, Part::kPteAccess).value == 0);
    });
    machine.program(1, [&](models::CoreModule& core) {
        core.time().spend(nanoseconds(2000), Part::kUser);
        core.store(entry, {}, Part::kPteAccess);
    });
    machine.run();
}

TEST_CASE("mmu: what a walk brings in while a shootdown is on its way falls to that shootdown",
          "[component][mmu]") {
    const auto config = test_platform(1, 2);
    const auto way =
        config.interrupt.write + config.interrupt.to_fabric + config.interrupt.delivery;
    TestMachine machine(config);
    machine.map(kPage, FrameNumber{500}, kMapped);
    machine.map(kPage + rmap::kPageSize, FrameNumber{501}, kMapped);
    const auto entry = machine.entry_of(kPage);
    const auto cleared = nanoseconds(3000);
    machine.program(0, [&](models::CoreModule& core) {
        core.time().spend(cleared, Part::kUser);
        core.store(entry, {}, Part::kPteAccess);
        rmap::CpuMask target;
        target.set(1);
        machine->mechanism(0).send_ipi(target, 251, Part::kIpiSend);
    });
    machine.handler(1, [&](models::CoreModule& core, const rmap::TakenInterrupt&) {
        core.maintain({TlbOperation::Kind::kInvlpg, 1, kPage, {}}, nanoseconds(1), Part::kHandler);
    });
    machine.program(1, [&](models::CoreModule& core) {
        enter(core, machine);
        access(core, kPage + rmap::kPageSize);  // brings in the lines of all levels
        // The entry is read just before its clearing is visible; the interrupt comes later.
        core.time().spend(cleared - (core.time().local_now() - rmap::Instant{}), Part::kUser);
        access(core, kPage);
        access(core, kPage);  // still there: the interrupt is on its way
        core.time().spend(way + nanoseconds(500), Part::kUser);
        access(core, kPage, Access::kRead, Fault::kNotPresent);
    });
    machine.run();
    CHECK(machine.core(1).stats().interrupts == 1);
}

TEST_CASE("mmu: a 2 MiB page is one entry for all its pages", "[component][mmu]") {
    const auto config = test_platform(1, 1);
    const Costs costs(config);
    TestMachine machine(config);
    machine.map(kPage, FrameNumber{500}, kMapped);  // builds the upper tables
    const auto leaf = machine.entry_of(kPage);
    // Replace the table of level 1 by a large leaf: its entry lies one table up, at index 0.
    const auto directory = rmap::address_of(rmap::frame_of(leaf)).value - rmap::kPageSize;
    machine.poke(rmap::PhysAddr{directory},
                 Pte::present_entry(FrameNumber{512}, kMapped | Pte::kPageSize).raw());
    machine.program(0, [&](models::CoreModule& core) {
        enter(core, machine);
        access(core, kPage);
        CHECK(access(core, kPage + 300 * rmap::kPageSize) == costs.hit);
        invalidate(core, TlbOperation::Kind::kInvlpg, kPage + 77 * rmap::kPageSize);
        CHECK(access(core, kPage) > costs.l2_hit);
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().reads == 6);
}

}  // namespace mmusim::test
