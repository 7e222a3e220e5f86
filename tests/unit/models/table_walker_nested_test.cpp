// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/support/print_types.hpp"
#include "tests/support/walker_configs.hpp"

namespace mmusim::test {

using models::BitUpdate;
using models::NestedCaching;
using models::TlbScope;
using models::Translation;
using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::PageNumber;
using rmap::TableBuilder;

namespace {

constexpr std::uint64_t kAddress = 0x2345678000;
constexpr Duration kRead = WalkWords::kRead;

}  // namespace

TEST_CASE("table walker: two stages read the second one for each entry and the page",
          "[unit][walker]") {
    for (const auto& pair : kFormatPairs) {
        CAPTURE(pair.first, pair.second);
        const auto config = config_of(pair.first, pair.second);
        const auto& first = *config.first.format;
        const auto& second = *config.second.format;
        GuestBench bench(config, small(second));
        const auto guest = bench.memory.allocate(small(first), small(second));
        bench.first.map(kAddress, small(first), guest, {});
        const auto result = bench.walk(kAddress, Access::kWrite);
        REQUIRE(result.fault == Fault::kNone);
        const unsigned reads = (first.levels + 1) * (second.levels + 1) - 1;
        CHECK(bench.words.reads == reads);
        if (first.levels == 4 && second.levels == 4) CHECK(reads == 24);
        CHECK(bench.walker.stats().reads == first.levels);
        CHECK(bench.walker.stats().second_stage_reads == reads - first.levels);
        CHECK(bench.walker.stats().walks_by_reads[reads] == 1);
        CHECK(bench.words.now - rmap::Instant{} == config.start + (config.level + kRead) * reads);
        const auto page = rmap::page_of(rmap::VirtAddr{kAddress});
        CHECK(rmap::address_of(result.translation.frame_of(page)) ==
              bench.memory.host_address(rmap::address_of(guest) +
                                        kAddress % (rmap::kPageSize << small(first))));
        CHECK(result.translation.order == std::min(small(first), small(second)));
    }
}

TEST_CASE("table walker: with everything cached two stages cost two lookups and a read",
          "[unit][walker]") {
    for (const auto& pair : kFormatPairs) {
        for (const auto caching : {NestedCaching::kCombined, NestedCaching::kPerStage}) {
            CAPTURE(pair.first, pair.second, static_cast<int>(caching));
            auto config = config_of(pair.first, pair.second);
            add_caches(config.first);
            config.nested = caching;
            config.second_tlb = second_tlb();
            config.second_tlb.arrays[0].orders = {0, 2, 4, 9};
            const auto& first = *config.first.format;
            const auto& second = *config.second.format;
            GuestBench bench(config, small(second));
            const auto guest = bench.memory.allocate(small(first), small(second));
            bench.first.map(kAddress, small(first), guest, {});
            bench.walk(kAddress, Access::kRead);
            const auto begin = bench.words.now;
            bench.words.reads = 0;
            REQUIRE(bench.walk(kAddress, Access::kRead).fault == Fault::kNone);
            // A table of several pages of the second stage is kept as the guest names it only.
            const bool scattered = small(second) < first.table_order(1);
            const bool combined = caching == NestedCaching::kCombined && !scattered;
            const bool nothing = caching == NestedCaching::kCombined && scattered;
            const unsigned reads = nothing ? first.levels : 1;
            const unsigned lookups = combined ? 1 : reads + 1;
            CHECK(bench.words.reads == reads);
            CHECK(bench.words.now - begin == config.start + config.first.caches[0].lookup +
                                                 config.second_tlb.lookup * lookups +
                                                 (config.level + kRead) * reads);
        }
    }
}

TEST_CASE("table walker: caches of the second stage shorten its own walks", "[unit][walker]") {
    auto config = config_of("x86-64-4level");
    add_caches(config.second);
    GuestBench bench(config, 0);
    bench.first.map(kAddress, 0, bench.memory.allocate(0, 0), {});
    bench.walk(kAddress, Access::kRead);
    bench.words.reads = 0;
    const auto begin = bench.words.now;
    bench.walk(kAddress, Access::kRead);
    constexpr unsigned kReads = 4 + 5;  // the guest's, and one for each of them and the page
    CHECK(bench.words.reads == kReads);
    CHECK(bench.words.now - begin ==
          config.start + config.second.caches[0].lookup * 5 + (config.level + kRead) * kReads);
}

TEST_CASE("table walker: what a flush drops depends on the stage", "[unit][walker]") {
    for (const auto caching : {NestedCaching::kCombined, NestedCaching::kPerStage}) {
        CAPTURE(static_cast<int>(caching));
        auto config = config_of("x86-64-4level");
        add_caches(config.first);
        add_caches(config.second);
        config.nested = caching;
        config.second_tlb = second_tlb();
        GuestBench bench(config, 0);
        const auto guest = bench.memory.allocate(0, 0);
        bench.first.map(kAddress, 0, guest, {});
        const auto reads = [&] {
            const auto before = bench.words.reads;
            CHECK(bench.walk(kAddress, Access::kRead).fault == Fault::kNone);
            return bench.words.reads - before;
        };
        const auto cold = reads();
        CHECK(cold < 24);
        CHECK(reads() == 1);
        TlbScope scope;
        CHECK(bench.walker.invalidate(scope) == 0);  // the host's
        scope.vm = GuestBench::kVm;
        CHECK(bench.walker.invalidate(scope) == 3);
        CHECK(reads() == 4);  // the second stage knows where the tables are

        scope.stages = TlbScope::Stages::kSecond;
        scope.range = rmap::aligned_pages({rmap::address_of(guest).value}, 0);
        CHECK(bench.walker.invalidate(scope) > 0);
        CHECK(reads() == 1 + 4);  // the guest's own entry, and the second stage's way to the page
        scope.tables = TlbScope::Tables::kKept;
        CHECK(bench.walker.invalidate(scope) == 1);
        CHECK(reads() == 1 + 1);

        // Of both stages: everything of the second one, whatever the first one's range is.
        for (const bool range : {false, true}) {
            scope = {};
            scope.vm = GuestBench::kVm;
            scope.stages = TlbScope::Stages::kBoth;
            if (range) {
                scope.space = 1;
                scope.range = rmap::aligned_pages(rmap::VirtAddr{kAddress}, 0);
            }
            CHECK(bench.walker.invalidate(scope) > 5);
            TlbScope first;
            first.vm = GuestBench::kVm;
            bench.walker.invalidate(first);
            CHECK(reads() == cold);
        }
    }
}

TEST_CASE("table walker: a kept table is as old as the oldest entry that it rests on",
          "[unit][walker]") {
    auto config = config_of("x86-64-4level");
    config.first.caches = {cache_of(4)};
    config.second_tlb = second_tlb();
    GuestBench bench(config, 0);
    bench.first.map(kAddress, 0, bench.memory.allocate(0, 0), {});
    bench.walk(kAddress, Access::kRead);
    const auto then = bench.words.now;
    // The root's place is looked up again and the next table's is not.
    TlbScope scope;
    scope.vm = GuestBench::kVm;
    CHECK(bench.walker.invalidate(scope) == 1);
    scope.stages = TlbScope::Stages::kSecond;
    scope.range = rmap::aligned_pages({bench.first.root().value}, 0);
    CHECK(bench.walker.invalidate(scope) == 1);
    bench.walk(kAddress, Access::kRead);
    scope = {};
    scope.vm = GuestBench::kVm;
    scope.read_until = then;
    CHECK(bench.walker.invalidate(scope) == 1);
}

TEST_CASE("table walker: a store to a clean page walks past the second stage's entry",
          "[unit][walker]") {
    auto config = config_of("x86-64-4level");
    config.second_tlb = second_tlb();
    GuestBench bench(config, 0);
    TableBuilder::Attributes clean;
    clean.dirty = false;
    const auto guest = bench.memory.allocate(0, 0, clean);
    bench.first.map(kAddress, 0, guest, {});
    CHECK_FALSE(bench.walk(kAddress, Access::kRead).translation.dirty);
    CHECK(bench.words.locked == 0);
    CHECK(bench.walk(kAddress, Access::kWrite).translation.dirty);
    CHECK(bench.words.locked == 1);
    CHECK(bench.walk(kAddress, Access::kWrite).translation.dirty);
    CHECK(bench.words.locked == 1);
    CHECK(bench.walker.stats().second_stage_assists == 1);
}

TEST_CASE("table walker: reading a guest's table counts as a store with EPT's bits only",
          "[unit][walker]") {
    struct Row {
        FormatPair formats;
        BitUpdate bits;
        bool stores;
    };
    const Row rows[] = {{kFormatPairs[0], BitUpdate::kHardware, true},
                        {kFormatPairs[0], BitUpdate::kFault, false},
                        {kFormatPairs[2], BitUpdate::kHardware, false},
                        {kFormatPairs[5], BitUpdate::kHardware, false}};
    for (const auto& row : rows)
        for (const auto caching : {NestedCaching::kCombined, NestedCaching::kPerStage}) {
            CAPTURE(row.formats.first, static_cast<int>(row.bits), static_cast<int>(caching));
            auto config = config_of(row.formats.first, row.formats.second);
            config.second.accessed = config.second.dirty = row.bits;
            config.nested = caching;
            add_caches(config.first);
            GuestBench bench(config, 0);
            TableBuilder::Attributes unused;
            unused.accessed = unused.dirty = false;
            const auto page = bench.memory.allocate(0, 0);
            bench.first.map(kAddress, 0, page, unused);
            bench.first.map(kAddress + rmap::kPageSize, 0, page, {});
            // Make the tables read-only to the guest.
            const auto table = bench.first.find(kAddress)->entry.value;
            TableBuilder::Attributes read_only;
            read_only.writable = false;
            bench.second.map(table, 0, rmap::frame_of(bench.memory.host_address({table})),
                             read_only);
            const auto used = bench.walk(kAddress + rmap::kPageSize, Access::kRead);
            CHECK(used.fault == (row.stores ? Fault::kSecondStage : Fault::kNone));
            // To set a bit in them is a store in any case.
            const auto result = bench.walk(kAddress, Access::kRead);
            REQUIRE(result.fault == Fault::kSecondStage);
            CHECK(result.violation.address.value / 4096 == table / 4096);
            CHECK(result.violation.access == Access::kWrite);
            CHECK(result.violation.cause == Fault::kProtection);
            CHECK_FALSE(bench.first.find(kAddress)->says.accessed);
        }
}

TEST_CASE("table walker: a violation names the page's address and why", "[unit][walker]") {
    auto config = config_of("arm64-4k", "arm64-4k-stage2");
    config.second.accessed = BitUpdate::kFault;
    config.second_tlb = second_tlb();
    GuestBench bench(config, 0);
    TableBuilder::Attributes unused;
    unused.accessed = false;
    const auto guest = bench.memory.allocate(0, 0, unused);
    bench.first.map(kAddress, 0, guest, {});
    auto result = bench.walk(kAddress + 0x18, Access::kExecute);
    CHECK(result.fault == Fault::kSecondStage);
    CHECK(result.violation.address.value == rmap::address_of(guest).value + 0x18);
    CHECK(result.violation.access == Access::kExecute);
    CHECK(result.violation.cause == Fault::kAccessFlag);
    bench.second.unmap(rmap::address_of(guest).value, 0);
    result = bench.walk(kAddress, Access::kRead);
    CHECK(result.violation.cause == Fault::kNotPresent);
    CHECK(bench.walker.stats().violations == 2);
    CHECK(bench.walker.stats().faults == 0);
}

TEST_CASE("table walker: a combined entry has the smaller page of both stages", "[unit][walker]") {
    constexpr PageNumber kPage{512 + 7};
    const auto stage = [](std::uint64_t frame, bool large) {
        Translation translation;
        translation.frame = FrameNumber{frame};
        translation.order = large ? rmap::kLargeOrder : 0;
        return translation;
    };
    const auto both = [&](bool guest_large, bool host_large) {
        const auto guest = stage(guest_large ? 1024 : 1024 + 9, guest_large);
        const auto frame = guest.frame_of(kPage).value;
        return models::combine(kPage, guest,
                               stage(host_large ? 2048 : 2048 + frame % 512, host_large));
    };
    CHECK(both(false, false).frame == FrameNumber{2048 + 9});
    CHECK(both(false, true).frame == FrameNumber{2048 + 9});
    CHECK(both(true, false).frame == FrameNumber{2048 + 7});
    CHECK(both(true, true).frame == FrameNumber{2048});
    CHECK(both(true, true).order == rmap::kLargeOrder);
    CHECK(both(false, true).order == 0);
    CHECK(both(true, false).order == 0);
}

TEST_CASE("table walker: a combined entry allows what both stages allow", "[unit][walker]") {
    for (unsigned bits = 0; bits < 256; ++bits) {
        CAPTURE(bits);
        Translation guest;
        guest.writable = bits & 1;
        guest.dirty = bits & 2;
        guest.readable = bits & 4;
        guest.executable = bits & 8;
        guest.global = true;
        guest.generation = 3;
        guest.read_at = guest.oldest_read = rmap::Instant{10};
        Translation host;
        host.writable = bits & 16;
        host.dirty = bits & 32;
        host.readable = bits & 64;
        host.executable = bits & 128;
        host.generation = 4;
        host.read_at = rmap::Instant{20};
        host.oldest_read = rmap::Instant{5};
        const auto both = models::combine(PageNumber{1}, guest, host);
        CHECK(both.writable == (guest.writable && host.writable));
        CHECK(both.dirty == (guest.dirty && host.dirty));
        CHECK(both.readable == (guest.readable && host.readable));
        CHECK(both.executable == (guest.executable && host.executable));
        CHECK(both.global);
        CHECK(both.generation == 4);
        CHECK(both.read_at == rmap::Instant{20});
        CHECK(both.oldest_read == rmap::Instant{5});
    }
}

}  // namespace mmusim::test
