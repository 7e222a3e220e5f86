// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/second_stage_table.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "rmap/types/check.hpp"
#include "tests/unit/notifiers/kvm_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::FrameSource;
using mmusim::test::PlainMachine;

namespace {

constexpr std::uint64_t k2M = 512 * kPageSize;

struct Bench {
    PlainMachine machine{1};
    FrameSource frames{machine};
    Cpu& cpu = machine.cpu(0);
    SecondStageTable table{frames};

    PhysMemPort& memory() { return cpu.memory(); }

    struct Walk {
        EptEntry entry;
        unsigned level = 0;
        PhysAddr place{};
    };
    /// As the hardware walks: from the root until a leaf or an entry that is not present.
    Walk walk(GuestPhysAddr address) {
        FrameNumber frame = frame_of(table.root());
        for (unsigned level = kEptLevels;; --level) {
            const PhysAddr place = entry_address(frame, address, level);
            const EptEntry entry{machine.memory()[place].value};
            if (level == 1 || entry.large() || !entry.present()) return {entry, level, place};
            frame = entry.frame();
        }
    }
};

}  // namespace

TEST_CASE("second-stage table: a walk from the root ends at the leaf", "[unit][notifiers]") {
    Bench bench;
    // Across the boundary of a level-1 table.
    const GuestPhysAddr first{0x7f'c01f'e000};
    bench.table.add_tables(bench.memory(), first, 4);
    for (std::uint64_t i = 0; i < 4; ++i) {
        CAPTURE(i);
        const GuestPhysAddr address = first + i * kPageSize + 0x123;
        const auto leaf = bench.table.leaf(address);
        CHECK(leaf.first == first + i * kPageSize);
        CHECK(leaf.pages == 1);
        const auto walk = bench.walk(address);
        CHECK(walk.level == 1);
        CHECK(walk.place == leaf.entry);
        CHECK_FALSE(walk.entry.present());
    }
}

TEST_CASE("second-stage table: entries of upper levels allow everything", "[unit][notifiers]") {
    Bench bench;
    bench.table.add_tables(bench.memory(), {0}, 1);
    const EptEntry top{bench.machine.memory()[bench.table.root()].value};
    CHECK((top.raw() & 7) == (EptEntry::kRead | EptEntry::kWrite | EptEntry::kExecute));
    CHECK_FALSE(top.large());
}

TEST_CASE("second-stage table: fixed memory is mapped by 2 MiB where both addresses are aligned",
          "[unit][notifiers]") {
    Bench bench;
    const GuestPhysAddr first{k2M - 2 * kPageSize};
    const FrameNumber frame{512 * 8 - 2};
    bench.table.map_fixed(bench.memory(), first, frame, 2 + 512 + 3);
    const auto before = bench.walk({k2M - 1});
    CHECK(before.level == 1);
    CHECK(before.entry.frame() == FrameNumber{512 * 8 - 1});
    const auto large = bench.walk({k2M + 5 * kPageSize});
    CHECK(large.level == 2);
    CHECK(large.entry.frame() == FrameNumber{512 * 8});
    CHECK(large.entry.writable());
    const auto after = bench.walk({2 * k2M + 2 * kPageSize});
    CHECK(after.level == 1);
    CHECK(after.entry.frame() == FrameNumber{512 * 9 + 2});
    CHECK_FALSE(bench.walk({2 * k2M + 3 * kPageSize}).entry.present());
    CHECK(bench.table.leaf({k2M + 5 * kPageSize}).first == GuestPhysAddr{k2M});
    CHECK(bench.table.leaf({k2M + 5 * kPageSize}).pages == 512);
}

TEST_CASE("second-stage table: frames that are not aligned are mapped by 4 KiB",
          "[unit][notifiers]") {
    Bench bench;
    bench.table.map_fixed(bench.memory(), {k2M}, {513}, 512);
    CHECK(bench.walk({k2M}).level == 1);
    CHECK(bench.walk({2 * k2M - 1}).entry.frame() == FrameNumber{513 + 511});
}

TEST_CASE("second-stage table: guest addresses that are not aligned are mapped by 4 KiB",
          "[unit][notifiers]") {
    Bench bench;
    bench.table.map_fixed(bench.memory(), {k2M + kPageSize}, {512}, 512);
    CHECK(bench.walk({k2M + kPageSize}).level == 1);
    CHECK_FALSE(bench.walk({k2M}).entry.present());
    CHECK(bench.walk({2 * k2M}).entry.frame() == FrameNumber{512 + 511});
}

TEST_CASE("second-stage table: 511 aligned pages are not mapped by 2 MiB", "[unit][notifiers]") {
    Bench bench;
    bench.table.map_fixed(bench.memory(), {k2M}, {512}, 511);
    CHECK(bench.walk({k2M}).level == 1);
    CHECK_FALSE(bench.walk({2 * k2M - 1}).entry.present());
}

TEST_CASE("second-stage table: a part of a 2 MiB entry is visited as the whole entry",
          "[unit][notifiers]") {
    Bench bench;
    bench.table.map_fixed(bench.memory(), {k2M}, {512}, 512);
    bench.table.add_tables(bench.memory(), {2 * k2M}, 2);
    std::vector<SecondStageTable::Leaf> seen;
    const Instant before = bench.cpu.now();
    bench.table.for_each_leaf(bench.cpu, {k2M + 7 * kPageSize}, 512 - 7 + 1,
                              [&](const auto& leaf) { seen.push_back(leaf); });
    CHECK(bench.cpu.now() - before == bench.machine.costs().kvm_unmap_page * 2);
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].first == GuestPhysAddr{k2M});
    CHECK(seen[0].pages == 512);
    CHECK(seen[1].first == GuestPhysAddr{2 * k2M});
    // Removing it takes away what the other pages of it were mapped by, too.
    SecondStageTable::exchange(bench.cpu, seen[0], {}, 0);
    CHECK_FALSE(bench.walk({k2M}).entry.present());
}

TEST_CASE("second-stage table: an exchange returns what the walker has left", "[unit][notifiers]") {
    Bench bench;
    bench.table.add_tables(bench.memory(), {0}, 1);
    const auto leaf = bench.table.leaf({0});
    SecondStageTable::exchange(bench.cpu, leaf, EptEntry::leaf({0x77}, true), 4);
    bench.machine.memory()[leaf.entry].value |= EptEntry::kAccessed | EptEntry::kDirty;
    SecondStageTable::clear_accessed(bench.cpu, leaf);
    const Word old = SecondStageTable::exchange(bench.cpu, leaf, {}, 0);
    CHECK(EptEntry{old.value} == EptEntry::leaf({0x77}, true).with(EptEntry::kDirty));
    CHECK(old.generation == 4);
    CHECK_FALSE(SecondStageTable::read(bench.cpu, leaf).present());
    CHECK(bench.machine.time(0).charged()[Part::kSecondStage] == bench.cpu.now() - Instant{});
}

TEST_CASE("second-stage table: there is no leaf where no tables were made", "[unit][notifiers]") {
    Bench bench;
    bench.table.add_tables(bench.memory(), {0}, 512);
    CHECK_NOTHROW(bench.table.leaf({k2M - 1}));
    CHECK_THROWS_AS(bench.table.leaf({k2M}), InvariantError);
}

TEST_CASE("second-stage table: a 2 MiB entry has no room for other pages", "[unit][notifiers]") {
    Bench bench;
    bench.table.map_fixed(bench.memory(), {k2M}, {512}, 512);
    CHECK_THROWS_AS(bench.table.add_tables(bench.memory(), {k2M}, 1), InvariantError);
}
