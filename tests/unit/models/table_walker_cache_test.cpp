// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/support/print_types.hpp"
#include "tests/support/walker_configs.hpp"

namespace mmusim::test {

using models::TlbScope;
using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::nanoseconds;

namespace {

constexpr std::uint64_t kAddress = 0x2345678000;
constexpr Duration kRead = WalkWords::kRead;

}  // namespace

TEST_CASE("table walker: a walk begins below the lowest entry that a cache knows",
          "[unit][walker]") {
    for (const auto* format : rmap::page_table_formats()) {
        CAPTURE(format->name);
        auto config = config_of(format->name);
        add_caches(config.first);
        config.first.caches.front().lookup = nanoseconds(7);  // the longest counts
        StageBench bench(config);
        const unsigned order = small(*format);
        const auto time_of = [&](std::uint64_t address) {
            bench.tables.map(address, order, aligned(5, order), {});
            const auto begin = bench.words.now;
            CHECK(bench.walk(address, Access::kRead).fault == Fault::kNone);
            return bench.words.now - begin;
        };
        const auto cost = [&](unsigned reads) {
            return config.start + nanoseconds(7) + (config.level + kRead) * reads;
        };
        // A neighbour that shares the tables down to level n, and not the entry of level n.
        std::uint64_t address = 0;
        CHECK(time_of(address) == cost(format->levels));
        CHECK(time_of(address) == cost(1));
        for (unsigned level = 1; level <= format->levels; ++level) {
            address += std::uint64_t{1} << format->level(level).shift;
            if (!format->translates(address)) break;
            CAPTURE(level);
            const auto hits = bench.walker.stats().first.cache_hits;
            CHECK(time_of(address) == cost(level));
            if (level < format->levels)
                CHECK(bench.walker.stats().first.cache_hits[level + 1] == hits[level + 1] + 1);
        }
    }
}

TEST_CASE("table walker: cached tables are of their address space and of the scope of a flush",
          "[unit][walker]") {
    auto config = config_of("x86-64-4level");
    add_caches(config.first);
    StageBench bench(config);
    constexpr std::uint64_t kOther = kAddress + (1ull << 30);  // another level-3 entry
    bench.tables.map(kAddress, 0, FrameNumber{5}, {});
    bench.tables.map(kOther, 0, FrameNumber{6}, {});
    const auto reads = [&](std::uint64_t address, models::SpaceId space) {
        const auto before = bench.words.reads;
        CHECK(bench.walk(address, Access::kRead, space).fault == Fault::kNone);
        return bench.words.reads - before;
    };
    const auto warm = [&] {
        for (const models::SpaceId space : {1, 2}) {
            reads(kAddress, space);
            reads(kOther, space);
            CHECK(reads(kAddress, space) == 1);
            CHECK(reads(kOther, space) == 1);
        }
    };
    CHECK(reads(kAddress, 1) == 4);
    CHECK(reads(kAddress, 2) == 4);
    warm();

    // The way to one address, of one space: three entries go, and the other way finds level 4.
    auto scope = page_scope(kAddress);
    CHECK(bench.walker.invalidate(scope) == 3);
    CHECK(reads(kOther, 1) == 1);
    CHECK(reads(kAddress, 2) == 1);
    CHECK(reads(kAddress, 1) == 4);
    warm();

    scope.tables = TlbScope::Tables::kKept;  // leaf only
    CHECK(bench.walker.invalidate(scope) == 0);
    CHECK(reads(kAddress, 1) == 1);

    scope.tables = TlbScope::Tables::kAll;  // as INVLPG: of any address
    CHECK(bench.walker.invalidate(scope) == 5);
    CHECK(reads(kOther, 1) == 4);
    CHECK(reads(kOther, 2) == 1);
    warm();

    scope = page_scope(kAddress, std::nullopt);
    CHECK(bench.walker.invalidate(scope) == 6);
    warm();
    TlbScope space;
    space.space = 2;
    CHECK(bench.walker.invalidate(space) == 5);
    CHECK(reads(kAddress, 1) == 1);
    CHECK(reads(kAddress, 2) == 4);
    warm();
    CHECK(bench.walker.invalidate({}) == 10);
    warm();
    TlbScope guest;
    guest.vm = 1;
    CHECK(bench.walker.invalidate(guest) == 0);
    TlbScope early;
    early.read_until = {};
    CHECK(bench.walker.invalidate(early) == 0);
}

TEST_CASE("table walker: after a fault nothing is known of the way to its address",
          "[unit][walker]") {
    auto config = config_of("x86-64-4level");
    add_caches(config.first);
    StageBench bench(config);
    constexpr std::uint64_t kAbsent = kAddress + 4 * rmap::kPageSize;
    bench.tables.map(kAddress, 0, FrameNumber{5}, {});
    bench.walk(kAddress, Access::kRead);
    CHECK(bench.walk(kAbsent, Access::kRead).fault == Fault::kNotPresent);
    bench.words.reads = 0;
    bench.walk(kAddress, Access::kRead);
    CHECK(bench.words.reads == 4);
}

TEST_CASE("table walker: what a walk brings that a flush has overtaken is not kept",
          "[unit][walker]") {
    for (const bool of_this_vm : {false, true}) {
        auto config = config_of("x86-64-4level");
        add_caches(config.first);
        StageBench bench(config);
        bench.tables.map(kAddress, 0, FrameNumber{5}, {});
        TlbScope scope;
        scope.vm = of_this_vm ? 0 : 9;
        bench.words.before_read = [&](rmap::PhysAddr) {
            if (bench.words.reads == 3) bench.walker.invalidate(scope);
        };
        bench.walk(kAddress, Access::kRead);
        bench.words.before_read = nullptr;
        bench.words.reads = 0;
        bench.walk(kAddress, Access::kRead);
        CHECK(bench.words.reads == (of_this_vm ? 4 : 1));
    }
}

}  // namespace mmusim::test
