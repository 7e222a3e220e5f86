// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/support/print_types.hpp"
#include "tests/support/walker_configs.hpp"

namespace mmusim::test {

using models::BitUpdate;
using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::PageTableFormat;
using rmap::TableBuilder;

namespace {

constexpr std::uint64_t kAddress = 0x2345678000;
constexpr Duration kRead = WalkWords::kRead;
constexpr Access kAccesses[] = {Access::kRead, Access::kWrite, Access::kExecute};

}  // namespace

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

}  // namespace mmusim::test
