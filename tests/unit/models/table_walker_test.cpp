// SPDX-License-Identifier: Apache-2.0
#include "models/walker/table_walker.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/print_types.hpp"
#include "tests/support/table_bench.hpp"

namespace mmusim::test {

using models::BitUpdate;
using models::NestedCaching;
using models::TlbScope;
using models::Translation;
using models::WalkerConfig;
using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::nanoseconds;
using rmap::PageNumber;
using rmap::PageTableFormat;
using rmap::TableBuilder;

namespace {

constexpr std::uint64_t kAddress = 0x2345678000;
constexpr Duration kRead = WalkWords::kRead;
constexpr Access kAccesses[] = {Access::kRead, Access::kWrite, Access::kExecute};

WalkerConfig config_of(std::string_view first, std::string_view second = "ept-4level") {
    WalkerConfig config;
    config.start = nanoseconds(11);
    config.level = nanoseconds(5);
    config.first.format = rmap::find_page_table_format(first);
    config.second.format = rmap::find_page_table_format(second);
    return config;
}

models::WalkCacheConfig cache_of(unsigned level, Duration lookup = nanoseconds(2)) {
    return {"level" + std::to_string(level), level, {16, 4, {}, {}}, lookup};
}

/// A cache for each level that can have one.
void add_caches(models::WalkStageConfig& stage) {
    for (unsigned level = 2; level <= stage.format->levels; ++level)
        stage.caches.push_back(cache_of(level));
}

models::TlbConfig second_tlb() {
    models::TlbConfig tlb;
    tlb.arrays.push_back({"all", {0, 9}, {16, 4, {}, {}}});
    tlb.lookup = nanoseconds(3);
    tlb.fill = nanoseconds(4);
    return tlb;
}

unsigned small(const PageTableFormat& format) { return format.page_orders().front(); }

/// The formats of both stages that belong together.
struct Pair {
    const char* first;
    const char* second;
};
const Pair kPairs[] = {{"x86-64-4level", "ept-4level"},
                       {"x86-64-5level", "ept-4level"},
                       {"arm64-4k", "arm64-4k-stage2"},
                       {"arm64-16k", "arm64-16k-stage2"},
                       {"arm64-64k", "arm64-64k-stage2"},
                       {"sv39", "sv39x4"},
                       {"sv48", "sv48x4"},
                       {"arm64-64k", "arm64-4k-stage2"}};

FrameNumber aligned(std::uint64_t n, unsigned order) { return {n << order}; }

TlbScope page_scope(std::uint64_t address, std::optional<models::SpaceId> space = 1) {
    TlbScope scope;
    scope.space = space;
    scope.range = rmap::aligned_pages(rmap::VirtAddr{address}, 0);
    return scope;
}

}  // namespace

// ---- one stage ----

TEST_CASE("table walker: a walk reads one entry per level down to the page's", "[unit][walker]") {
    for (const auto* format : rmap::page_table_formats())
        for (const unsigned order : format->page_orders()) {
            CAPTURE(format->name, order);
            const auto config = config_of(format->name);
            StageBench bench(config);
            const auto frame = aligned(5, order);
            bench.tables.map(kAddress, order, frame, {}, 9);
            const auto level = bench.tables.find(kAddress)->level;
            const auto result = bench.walk(kAddress, Access::kWrite);
            REQUIRE(result.fault == Fault::kNone);
            CHECK(result.translation.frame == frame);
            CHECK(result.translation.order == order);
            CHECK(result.translation.generation == 9);
            CHECK(result.translation.writable);
            CHECK(result.translation.dirty);
            CHECK(bench.words.locked == 0);
            const unsigned reads = format->levels - level + 1;
            CHECK(bench.words.reads == reads);
            CHECK(bench.words.now - rmap::Instant{} ==
                  config.start + (config.level + kRead) * reads);
            CHECK(result.translation.read_at == bench.words.now);
            CHECK(bench.walker.stats().walks_by_reads[reads] == 1);
            for (unsigned n = 1; n <= format->levels; ++n)
                CHECK(bench.walker.stats().first.reads[n] == (n >= level ? 1 : 0));
        }
}

TEST_CASE("table walker: hardware sets the bits that an access lacks and no others",
          "[unit][walker]") {
    for (const auto* format : rmap::page_table_formats()) {
        CAPTURE(format->name);
        StageBench bench(config_of(format->name));
        TableBuilder::Attributes unused;
        unused.accessed = unused.dirty = false;
        bench.tables.map(kAddress, small(*format), aligned(5, 4), unused);
        CHECK_FALSE(bench.walk(kAddress, Access::kRead).translation.dirty);
        CHECK(bench.words.locked == 1);
        CHECK(bench.tables.find(kAddress)->says.accessed);
        CHECK_FALSE(bench.tables.find(kAddress)->says.dirty);
        bench.walk(kAddress, Access::kExecute);
        CHECK(bench.words.locked == 1);
        CHECK(bench.walk(kAddress, Access::kWrite).translation.dirty);
        CHECK(bench.tables.find(kAddress)->says.dirty);
        CHECK(bench.words.locked == 2);
        CHECK(bench.walker.stats().assists == 2);
    }
}

TEST_CASE("table walker: where software sets the bits an access that lacks them is a fault",
          "[unit][walker]") {
    for (const char* name : {"x86-64-4level", "arm64-4k", "arm64-16k", "arm64-64k", "sv39", "sv48"})
        for (const bool dirty_too : {false, true}) {
            CAPTURE(name, dirty_too);
            auto config = config_of(name);
            config.first.accessed = BitUpdate::kFault;
            if (dirty_too) config.first.dirty = BitUpdate::kFault;
            StageBench bench(config);
            const unsigned order = small(*config.first.format);
            TableBuilder::Attributes bits;
            bits.accessed = bits.dirty = false;
            bench.tables.map(kAddress, order, aligned(5, order), bits);
            for (const Access access : kAccesses)
                CHECK(bench.walk(kAddress, access).fault == Fault::kAccessFlag);
            bits.accessed = true;
            bench.tables.map(kAddress, order, aligned(5, order), bits);
            CHECK(bench.walk(kAddress, Access::kRead).fault == Fault::kNone);
            CHECK(bench.words.locked == 0);
            CHECK(bench.walk(kAddress, Access::kWrite).fault ==
                  (dirty_too ? Fault::kDirtyState : Fault::kNone));
            CHECK(bench.words.locked == (dirty_too ? 0 : 1));
        }
}

TEST_CASE("table walker: EPT without accessed and dirty bits has none to set", "[unit][walker]") {
    auto config = config_of("ept-4level");
    config.first.accessed = config.first.dirty = BitUpdate::kFault;
    StageBench bench(config);
    TableBuilder::Attributes clear;
    clear.accessed = clear.dirty = false;
    bench.tables.map(kAddress, 0, FrameNumber{5}, clear);
    const auto result = bench.walk(kAddress, Access::kWrite);
    CHECK(result.fault == Fault::kNone);
    CHECK(result.translation.dirty);
    CHECK(bench.words.locked == 0);
    clear.writable = false;
    bench.tables.map(kAddress, 0, FrameNumber{5}, clear);
    CHECK(bench.walk(kAddress, Access::kWrite).fault == Fault::kProtection);
}

TEST_CASE("table walker: bits are set in the mapping that was read and in no other",
          "[unit][walker]") {
    for (const char* name : {"x86-64-4level", "ept-4level", "arm64-4k", "sv39"}) {
        CAPTURE(name);
        StageBench bench(config_of(name));
        TableBuilder::Attributes unused;
        unused.accessed = unused.dirty = false;
        const auto map = [&](std::uint64_t frame, const TableBuilder::Attributes& attributes) {
            bench.tables.map(kAddress, 0, FrameNumber{frame}, attributes, 7);
        };
        const auto raw = [&] {
            return bench.words.load(bench.tables.find(kAddress)->entry, {}).value;
        };

        map(700, unused);  // cleared meanwhile: it stays clear
        const auto entry = bench.tables.find(kAddress)->entry;
        bench.words.before_locked = [&] { bench.tables.unmap(kAddress, 0); };
        CHECK(bench.walk(kAddress, Access::kWrite).fault == Fault::kNotPresent);
        CHECK(bench.words.load(entry, {}).value == 0);

        auto read_only = unused;  // protected meanwhile: it stays as it is
        read_only.writable = false;
        map(700, read_only);
        const auto protected_entry = raw();
        map(700, unused);
        bench.words.before_locked = [&] { map(700, read_only); };
        CHECK(bench.walk(kAddress, Access::kWrite).fault == Fault::kProtection);
        CHECK(raw() == protected_entry);

        map(700, unused);  // another page: used as it is now
        bench.words.before_locked = [&] { map(701, {}); };
        auto result = bench.walk(kAddress, Access::kWrite);
        CHECK(result.fault == Fault::kNone);
        CHECK(result.translation.frame == FrameNumber{701});
        CHECK(result.translation.generation == 7);

        map(700, unused);  // bits that somebody else has set are no change
        TableBuilder::Attributes accessed;
        accessed.dirty = false;
        bench.words.before_locked = [&] { map(700, accessed); };
        const auto locked = bench.words.locked;
        CHECK(bench.walk(kAddress, Access::kWrite).translation.dirty);
        CHECK(bench.words.locked == locked + 1);

        bench.tables.map(kAddress, 9, FrameNumber{1024}, unused);  // a leaf becomes a table
        bench.words.before_locked = [&] { map(702, {}); };
        result = bench.walk(kAddress, Access::kRead);
        CHECK(result.fault == Fault::kNone);
        CHECK(result.translation.frame == FrameNumber{702});
        CHECK(result.translation.order == 0);
    }
}

TEST_CASE("table walker: a page allows what its entry and those above allow", "[unit][walker]") {
    for (const auto* format : rmap::page_table_formats())
        for (unsigned flags = 0; flags < 8; ++flags) {
            CAPTURE(format->name, flags);
            TableBuilder::Attributes attributes;
            attributes.writable = flags & 1;
            attributes.executable = flags & 2;
            attributes.user = flags & 4 || format->stage == PageTableFormat::Stage::kSecond;
            StageBench bench(config_of(format->name));
            const unsigned order = small(*format);
            bench.tables.map(kAddress, order, aligned(5, order), attributes);
            const auto allowed = [&](bool says) {
                return says && attributes.user ? Fault::kNone : Fault::kProtection;
            };
            CHECK(bench.walk(kAddress, Access::kRead).fault == allowed(true));
            CHECK(bench.walk(kAddress, Access::kWrite).fault == allowed(attributes.writable));
            CHECK(bench.walk(kAddress, Access::kExecute).fault == allowed(attributes.executable));
            CHECK(bench.walk(kAddress + 8 * (rmap::kPageSize << order), Access::kRead).fault ==
                  Fault::kNotPresent);
        }
}

TEST_CASE("table walker: entries of upper levels limit what is below them", "[unit][walker]") {
    struct Row {
        const char* format;
        std::uint64_t clear;
        std::uint64_t set;
        Access refused;
    };
    const Row rows[] = {{"x86-64-4level", 2, 0, Access::kWrite},
                        {"x86-64-4level", 0, 1ull << 63, Access::kExecute},
                        {"x86-64-4level", 4, 0, Access::kRead},
                        {"ept-4level", 2, 0, Access::kWrite},
                        {"ept-4level", 4, 0, Access::kExecute},
                        {"arm64-4k", 0, 1ull << 62, Access::kWrite},
                        {"arm64-4k", 0, 1ull << 60, Access::kExecute},
                        {"arm64-4k", 0, 1ull << 61, Access::kRead}};
    for (const auto& row : rows)
        for (unsigned level = 2; level <= 4; ++level) {
            CAPTURE(row.format, row.clear, row.set, level);
            auto config = config_of(row.format);
            add_caches(config.first);
            StageBench bench(config);
            bench.tables.map(kAddress, 0, FrameNumber{5}, {});
            const auto& format = *config.first.format;
            FrameNumber table = rmap::frame_of(bench.tables.root());
            for (unsigned n = 4; n > level; --n)
                table =
                    format.decode(bench.words.load(format.entry(table, kAddress, n), {}).value, n)
                        .frame;
            const auto at = format.entry(table, kAddress, level);
            const auto raw = bench.words.load(at, {}).value;
            bench.words.store(at, {(raw & ~row.clear) | row.set, 0}, {});
            for (unsigned twice = 0; twice < 2; ++twice) {  // the second time through the caches
                for (const Access access : kAccesses) {
                    const bool all = row.refused == Access::kRead;
                    CHECK(bench.walk(kAddress, access).fault ==
                          (all || access == row.refused ? Fault::kProtection : Fault::kNone));
                }
                if (row.refused != Access::kRead) bench.walk(kAddress, Access::kRead);
            }
        }
}

TEST_CASE("table walker: an address that the format does not have is not mapped",
          "[unit][walker]") {
    StageBench bench(config_of("sv39"));
    CHECK(bench.walk(1ull << 38, Access::kRead).fault == Fault::kNotPresent);
    CHECK(bench.words.reads == 0);
    CHECK(bench.walk((1ull << 38) - 1, Access::kRead).fault == Fault::kNotPresent);
    CHECK(bench.words.reads == 1);
}

TEST_CASE("table walker: a page is global if its entry or a table above says so",
          "[unit][walker]") {
    for (const char* name : {"x86-64-4level", "arm64-4k", "sv39"})
        for (const bool global : {false, true}) {
            CAPTURE(name, global);
            StageBench bench(config_of(name));
            TableBuilder::Attributes attributes;
            attributes.global = global;
            bench.tables.map(kAddress, 0, FrameNumber{5}, attributes);
            CHECK(bench.walk(kAddress, Access::kRead).translation.global == global);
        }
    StageBench bench(config_of("sv39"));
    bench.tables.map(kAddress, 0, FrameNumber{5}, {});
    const auto root = rmap::frame_of(bench.tables.root());
    const auto top = bench.tables.format().entry(root, kAddress, 3);
    constexpr std::uint64_t kGlobal = 1u << 5;
    bench.words.store(top, {bench.words.load(top, {}).value | kGlobal, 0}, {});
    CHECK(bench.walk(kAddress, Access::kRead).translation.global);
}

// ---- paging-structure caches ----

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

// ---- two stages ----

TEST_CASE("table walker: two stages read the second one for each entry and the page",
          "[unit][walker]") {
    for (const auto& pair : kPairs) {
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
    for (const auto& pair : kPairs) {
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
        Pair formats;
        BitUpdate bits;
        bool stores;
    };
    const Row rows[] = {{kPairs[0], BitUpdate::kHardware, true},
                        {kPairs[0], BitUpdate::kFault, false},
                        {kPairs[2], BitUpdate::kHardware, false},
                        {kPairs[5], BitUpdate::kHardware, false}};
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
