// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_guest.hpp"

namespace mmusim::test {

using models::CoreModule;
using models::GuestAccess;
using rmap::Access;
using rmap::Duration;
using rmap::EptEntry;
using rmap::FrameNumber;
using rmap::nanoseconds;
using rmap::Part;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

using Outcome = GuestAccess::Outcome;
constexpr VirtAddr kPage{0x100000000000};
constexpr std::uint64_t kUsed = TestGuest::kUsed;
const Duration kAccess = nanoseconds(1);
const Duration kEntry = nanoseconds(400);
const Duration kExit = nanoseconds(600);

template <class F>
void in_guest(CoreModule& core, const rmap::GuestContext& context, F&& f) {
    const rmap::InterruptsOff off(core.time());
    core.vm_entry(context, kEntry);
    f();
    core.vm_exit(kExit);
}

Duration access(CoreModule& core, VirtAddr address, Access kind = Access::kRead,
                Outcome expected = Outcome::kDone) {
    const auto begin = core.time().local_now();
    CHECK(core.access_guest(address, kind, kAccess).outcome == expected);
    return core.time().local_now() - begin;
}

/// The access violates the second stage at `address`, as an access of `reported` kind.
void violate(CoreModule& core, VirtAddr page, Access kind, rmap::GuestPhysAddr address,
             Access reported) {
    const auto result = core.access_guest(page, kind, kAccess);
    CHECK(result.outcome == Outcome::kViolation);
    CHECK(result.violation.address == address);
    CHECK(result.violation.access == reported);
}

rmap::GuestPhysAddr guest_address(GuestFrame frame, std::uint64_t offset = 0) {
    return {frame * rmap::kPageSize + offset};
}

void invept(TestMachine& machine, CoreModule& core, rmap::VmId vm) {
    machine->mechanism(core.id()).execute({TlbOperation::Kind::kInvept, 0, {}, {}, vm},
                                          Part::kFlushLocal);
}

void store(CoreModule& core, rmap::PhysAddr at, EptEntry entry) {
    core.store(at, {entry.raw(), 0}, Part::kSecondStage);
}

EptEntry load(CoreModule& core, rmap::PhysAddr at) {
    return EptEntry(core.load(at, Part::kSecondStage).value);
}

/// What the two levels cost on a hit and around a walk.
struct Costs {
    explicit Costs(const platform::PlatformConfig& c)
        : hit(c.mmu.tlbs[0].lookup + kAccess),
          l2_hit(hit + c.mmu.tlbs[1].lookup + c.mmu.tlbs[0].fill),
          config(c) {}
    /// A walk of `reads` entries in `lines` lines that this core has never seen.
    Duration walk(unsigned reads, unsigned lines) const {
        const auto& memory = config.memory.latency;
        return l2_hit + config.mmu.tlbs[1].fill + config.mmu.walker.start +
               config.mmu.walker.level * reads + memory.dram * lines + memory.l1 * (reads - lines);
    }
    Duration hit, l2_hit;
    platform::PlatformConfig config;
};

struct Records final : models::AccessObserver {
    std::vector<models::AccessRecord> seen;
    void judge(rmap::ActorId, const models::AccessBatch& uses) override {
        uses.for_each([this](const auto& use) { seen.push_back(use); });
    }
};

}  // namespace

TEST_CASE("guest: a walk in two dimensions reads 24 entries, fewer with large pages",
          "[component][guest]") {
    struct Combination {
        unsigned guest;   ///< level of the guest's leaves
        unsigned second;  ///< level of the second stage's
        unsigned reads;   ///< a cold walk's, of both stages
        unsigned lines;   ///< in which they lie
    };
    // A guest table's entry costs a walk of the second stage and its own read; the page one more.
    // The guest's tables share the second stage's lines, those of the page's leaf are others.
    constexpr Combination kAll[] = {{TestGuest::kSmall, TestGuest::kSmall, 4 * 5 + 4, 9},
                                    {TestGuest::kLarge, TestGuest::kSmall, 3 * 5 + 4, 8},
                                    {TestGuest::kSmall, TestGuest::kLarge, 4 * 4 + 3, 7},
                                    {TestGuest::kLarge, TestGuest::kLarge, 3 * 4 + 3, 6}};
    const VirtAddr far = kPage + 0x200000;  // mapped by large pages
    const auto config = test_platform(1, 4);
    const Costs costs(config);
    TestMachine machine(config);
    TestGuest small(machine, 1);
    TestGuest large(machine, 2);
    small.back_all(TestGuest::kSmall);
    large.back_all(TestGuest::kLarge);
    for (auto* guest : {&small, &large}) {
        guest->map(kPage, TestGuest::kData);
        guest->map(kPage + 5 * rmap::kPageSize, TestGuest::kData + 5);
        guest->map(far, TestGuest::kData, TestGuest::kMapped, TestGuest::kLarge);
    }
    for (rmap::CpuId cpu = 0; cpu < 4; ++cpu)
        machine.program(cpu, [&, cpu](CoreModule& core) {
            const auto& c = kAll[cpu];
            const auto& guest = c.second == TestGuest::kSmall ? small : large;
            const bool both_large = c.guest + c.second == 2 * TestGuest::kLarge;
            const VirtAddr page = c.guest == TestGuest::kSmall ? kPage : far;
            const VirtAddr near = page + 5 * rmap::kPageSize;
            in_guest(core, guest.context(), [&] {
                CHECK(access(core, page) == costs.walk(c.reads, c.lines));
                const auto cold = machine->mmu(cpu).walker.stats();
                CHECK(cold.nested == 1);
                CHECK(cold.reads + cold.second_stage_reads == c.reads);
                CHECK(cold.reads == (c.guest == TestGuest::kSmall ? 4u : 3u));
                CHECK(access(core, page + 8, Access::kWrite) == costs.hit);
                // The neighbour is in the same entry, or its walk finds every line in the L1.
                CHECK(access(core, near) == (both_large ? costs.hit : costs.walk(c.reads, 0)));
                CHECK(access(core, near, Access::kWrite) == costs.hit);
                CHECK(machine->mmu(cpu).walker.stats().walks == (both_large ? 1u : 2u));
            });
        });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().second_stage_reads == 2 * 20);
    CHECK(machine->mmu(0).walker.stats().second_stage_assists == 0);
    CHECK(machine->mmu(0).walker.stats().assists == 0);
}

TEST_CASE("guest: a combined entry leads to the byte that both stages map", "[component][guest]") {
    Records records;
    const auto config = test_platform(1, 2);
    TestMachine machine(config, &records);
    TestGuest small(machine, 1);
    TestGuest large(machine, 2);
    small.back_all(TestGuest::kSmall);
    large.back_all(TestGuest::kLarge);
    small.back(TestGuest::kData + 9, TestGuest::kSmall, kUsed, 77);
    for (auto* guest : {&small, &large}) {
        guest->map(kPage, TestGuest::kData + 9);
        guest->map(kPage + 0x200000, TestGuest::kData, TestGuest::kMapped, TestGuest::kLarge);
    }
    machine.program(0, [&](CoreModule& core) {
        core.label_address_space(41);
        for (auto* guest : {&small, &large})
            in_guest(core, guest->context(), [&] {
                for (int again = 0; again < 2; ++again) {
                    access(core, kPage);
                    access(core, kPage + 0x200000 + 7 * rmap::kPageSize, Access::kWrite);
                }
            });
    });
    machine.run();
    REQUIRE(records.seen.size() == 8);
    for (std::size_t i = 0; i < 8; ++i) {
        CAPTURE(i);
        const auto& record = records.seen[i];
        const auto& guest = i < 4 ? small : large;
        CHECK(record.vm == guest.vm());
        CHECK(record.mm == 41);
        CHECK(record.frame == guest.host_frame(TestGuest::kData + (i % 2 ? 7 : 9)));
        CHECK(record.page == rmap::page_of(kPage) + (i % 2 ? 512 + 7 : 0));
        CHECK(record.generation == (i < 4 && i % 2 == 0 ? 77u : 0u));
        CHECK(record.access == (i % 2 ? Access::kWrite : Access::kRead));
        CHECK(record.filled < record.time);
        CHECK(record.filled == records.seen[i / 4 * 4 + i % 2].filled);
    }
}

TEST_CASE("guest: an entry's time is that at which the second stage's leaf of the page was read",
          "[component][guest]") {
    Records records;
    const auto config = test_platform(1, 1);
    TestMachine machine(config, &records);
    TestGuest guest(machine, 1);
    guest.back_all(TestGuest::kSmall);
    guest.map(kPage, TestGuest::kData);
    machine.program(0, [&](CoreModule& core) {
        in_guest(core, guest.context(), [&] { access(core, kPage); });
    });
    machine.run();
    REQUIRE(records.seen.size() == 1);
    // The last read of the walk, from DRAM, then both fills and the instruction.
    CHECK(records.seen[0].time - records.seen[0].filled ==
          config.memory.latency.dram + config.mmu.tlbs[1].fill + config.mmu.tlbs[0].fill + kAccess);
}

TEST_CASE("guest: a store needs the permission of both stages", "[component][guest]") {
    const auto config = test_platform(1, 1);
    TestMachine machine(config);
    TestGuest guest(machine, 1);
    guest.back_all(TestGuest::kSmall);
    const VirtAddr read_only = kPage + rmap::kPageSize;
    const VirtAddr absent = kPage + 2 * rmap::kPageSize;
    guest.map(kPage, TestGuest::kData);
    guest.map(read_only, TestGuest::kData + 1, Pte::kAccessed);
    const auto leaf = guest.leaf(TestGuest::kData).without(EptEntry::kWrite);
    machine.poke(guest.second_entry(TestGuest::kData), leaf.raw());
    machine.program(0, [&](CoreModule& core) {
        in_guest(core, guest.context(), [&] {
            access(core, kPage + 0x128);
            violate(core, kPage + 0x128, Access::kWrite, guest_address(TestGuest::kData, 0x128),
                    Access::kWrite);
            access(core, kPage);
            access(core, read_only);
            access(core, read_only, Access::kWrite, Outcome::kPageFault);
            access(core, absent, Access::kRead, Outcome::kPageFault);
        });
        // What neither was cached nor set: the host allows it and the access is made again.
        CHECK(load(core, guest.second_entry(TestGuest::kData)) == leaf);
        store(core, guest.second_entry(TestGuest::kData), guest.leaf(TestGuest::kData));
        in_guest(core, guest.context(), [&] { access(core, kPage, Access::kWrite); });
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().violations == 1);
    CHECK(machine->mmu(0).walker.stats().faults == 2);
    CHECK(machine.core(0).stats().violations == 1);
    CHECK(machine.core(0).stats().guest_accesses == 4);
    CHECK(machine.core(0).stats().vm_entries == 2);
    CHECK(machine.core(0).stats().accesses == 0);
}

TEST_CASE("guest: a violation tells the address and the access that failed", "[component][guest]") {
    TestMachine machine(test_platform(1, 1));
    TestGuest guest(machine, 1);
    guest.back_all(TestGuest::kSmall);
    guest.map(kPage, TestGuest::kData);
    const auto table = guest.second_entry(guest.entry(kPage).value >> 12);
    const auto page = guest.second_entry(TestGuest::kData);
    const auto table_leaf = guest.leaf(guest.entry(kPage).value >> 12);
    machine.poke(table, 0);
    machine.poke(page, 0);
    machine.program(0, [&](CoreModule& core) {
        const auto fails = [&](Access kind, rmap::GuestPhysAddr address, Access reported) {
            in_guest(core, guest.context(),
                     [&] { violate(core, kPage + 0x40, kind, address, reported); });
        };
        // The guest's tables count as written by a walk, whatever it is for.
        fails(Access::kRead, guest.entry(kPage), Access::kWrite);
        store(core, table, table_leaf.without(EptEntry::kWrite));
        fails(Access::kRead, guest.entry(kPage), Access::kWrite);
        store(core, table, table_leaf);
        fails(Access::kRead, guest_address(TestGuest::kData, 0x40), Access::kRead);
        fails(Access::kWrite, guest_address(TestGuest::kData, 0x40), Access::kWrite);
        store(core, page, guest.leaf(TestGuest::kData));
        in_guest(core, guest.context(), [&] { access(core, kPage + 0x40, Access::kWrite); });
    });
    machine.run();
    CHECK(machine->mmu(0).walker.stats().violations == 4);
    CHECK(machine->mmu(0).walker.stats().faults == 0);
}

TEST_CASE("guest: a walk sets accessed and dirty bits of both stages", "[component][guest]") {
    TestMachine machine(test_platform(1, 1));
    TestGuest guest(machine, 1);
    for (GuestFrame table = TestGuest::kTables; table < TestGuest::kTables + 4; ++table)
        guest.back(table, TestGuest::kSmall, 0);
    guest.back(TestGuest::kData, TestGuest::kSmall, 0);
    guest.map(kPage, TestGuest::kData, Pte::kWritable);
    const auto first = guest.host_entry(kPage);
    const auto second = guest.second_entry(TestGuest::kData);
    machine.program(0, [&](CoreModule& core) {
        const auto walks = [&] { return machine->mmu(0).walker.stats().walks; };
        const auto in_first = [&] { return Pte(core.load(first, Part::kPteAccess).value); };
        in_guest(core, guest.context(), [&] { access(core, kPage); });
        CHECK(in_first() ==
              Pte::present_entry(FrameNumber{TestGuest::kData}, Pte::kWritable | Pte::kAccessed));
        CHECK(load(core, second) == guest.leaf(TestGuest::kData, EptEntry::kAccessed));
        for (GuestFrame table = TestGuest::kTables; table < TestGuest::kTables + 4; ++table)
            CHECK(load(core, guest.second_entry(table)) == guest.leaf(table, kUsed));
        CHECK(machine->mmu(0).walker.stats().assists == 1);
        CHECK(machine->mmu(0).walker.stats().second_stage_assists == 5);

        in_guest(core, guest.context(), [&] {
            access(core, kPage, Access::kWrite);
            CHECK(walks() == 2);
            access(core, kPage, Access::kWrite);
            CHECK(walks() == 2);
        });
        CHECK(in_first().dirty());
        CHECK(load(core, second) == guest.leaf(TestGuest::kData, kUsed));

        // With the dirty bit of only one stage set, a store still has to walk.
        for (const bool clean_first : {true, false}) {
            if (clean_first)
                core.store(first, {in_first().without(Pte::kDirty).raw(), 0}, Part::kPteAccess);
            else
                store(core, second, guest.leaf(TestGuest::kData, EptEntry::kAccessed));
            invept(machine, core, 1);
            in_guest(core, guest.context(), [&] {
                access(core, kPage);
                const auto before = walks();
                access(core, kPage, Access::kWrite);
                CHECK(walks() == before + 1);
            });
            CHECK(in_first().dirty());
            CHECK(load(core, second).dirty());
        }
    });
    machine.run();
}

TEST_CASE("guest: the host's invalidations and INVEPT drop their own side only",
          "[component][guest]") {
    const auto config = test_platform(1, 1);
    const Costs costs(config);
    TestMachine machine(config);
    TestGuest one(machine, 1);
    TestGuest two(machine, 2);
    for (auto* guest : {&one, &two}) {
        guest->back_all(TestGuest::kSmall);
        guest->map(kPage, TestGuest::kData);
    }
    machine.map(kPage, FrameNumber{500}, TestGuest::kMapped);
    machine.program(0, [&](CoreModule& core) {
        auto& port = machine->mechanism(0);
        const auto host_misses = [&] {
            const auto walks = machine->mmu(0).walker.stats().walks;
            CHECK(core.access(kPage, Access::kRead, kAccess) == rmap::Fault::kNone);
            return machine->mmu(0).walker.stats().walks > walks;
        };
        const auto misses = [&](const TestGuest& guest, rmap::Pcid pcid) {
            bool missed = false;
            in_guest(core, guest.context(pcid),
                     [&] { missed = access(core, kPage) > costs.l2_hit; });
            return missed;
        };
        port.execute({TlbOperation::Kind::kCr3Write, 1, {}, machine.root()}, Part::kSwitch);
        CHECK(host_misses());
        CHECK(misses(one, 1));
        CHECK(misses(one, 2));
        CHECK(misses(two, 1));
        CHECK_FALSE(misses(one, 1));
        CHECK_FALSE(host_misses());

        const auto begin = core.time().local_now();
        invept(machine, core, 1);
        CHECK(core.time().local_now() - begin == config.invalidation.invept);
        CHECK_FALSE(host_misses());
        CHECK_FALSE(misses(two, 1));
        CHECK(misses(one, 1));
        CHECK(misses(one, 2));

        for (const auto kind : {TlbOperation::Kind::kInvlpg, TlbOperation::Kind::kInvpcidAddress,
                                TlbOperation::Kind::kCr3Write, TlbOperation::Kind::kAll}) {
            port.execute({kind, 1, kPage, machine.root()}, Part::kFlushLocal);
            CHECK(host_misses());
            CHECK_FALSE(misses(one, 1));
            CHECK_FALSE(misses(one, 2));
            CHECK_FALSE(misses(two, 1));
        }
    });
    machine.run();
}

TEST_CASE("guest: entry, exit and all that a guest does is guest time", "[component][guest]") {
    const auto config = test_platform(1, 1);
    TestMachine machine(config);
    TestGuest guest(machine, 1);
    guest.back_all(TestGuest::kSmall);
    guest.map(kPage, TestGuest::kData, Pte::kWritable);  // with bits to be set
    machine.program(0, [&](CoreModule& core) {
        const auto begin = core.time().local_now();
        const auto operation = core.account().begin(rmap::OperationKind::kMunmap, begin);
        Duration inside;
        in_guest(core, guest.context(), [&] {
            CHECK(core.guest() == 1);
            inside = access(core, kPage) + access(core, kPage, Access::kWrite);
            inside += access(core, kPage + rmap::kPageSize, Access::kRead, Outcome::kPageFault);
        });
        CHECK(core.guest() == 0);
        const auto end = core.time().local_now();
        CHECK(end - begin == kEntry + inside + kExit);
        core.account().end(operation, end, rmap::Outcome::kDone);
        const auto& parts = core.account().finished().at(0).parts;
        CHECK(parts[Part::kGuest] == end - begin);
        CHECK(parts.sum() == end - begin);
    });
    machine.run();
}

TEST_CASE("guest: what a core cannot do in its mode is refused", "[component][guest]") {
    TestMachine machine(test_platform(1, 1));
    TestGuest guest(machine, 1);
    machine.program(0, [&](CoreModule& core) {
        const auto refused = [](auto&& f) { CHECK_THROWS_AS(f(), rmap::InvariantError); };
        refused([&] { core.vm_entry(guest.context(), kEntry); });  // interrupts are on
        const rmap::InterruptsOff off(core.time());
        refused([&] { core.access_guest(kPage, Access::kRead, kAccess); });
        refused([&] { core.vm_exit(kExit); });
        refused([&] { core.vm_entry({}, kEntry); });
        core.vm_entry(guest.context(), kEntry);
        refused([&] { core.vm_entry(guest.context(), kEntry); });
        refused([&] { invept(machine, core, 1); });
        core.vm_exit(kExit);
    });
    machine.run();
}

}  // namespace mmusim::test
