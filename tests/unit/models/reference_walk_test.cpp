// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <deque>

#include "tests/support/print_types.hpp"
#include "tests/support/random_tables.hpp"
#include "tests/support/test_size.hpp"
#include "tests/support/tlb_configs.hpp"
#include "tests/support/walker_configs.hpp"

// Random accesses over tables that change at random: every translation that the TLBs, the walk
// caches and the walker come to is the one that the tables say.

namespace mmusim::test {

using models::BitUpdate;
using models::TlbArray;
using models::TlbScope;
using models::Translation;
using models::WalkerConfig;
using rmap::Access;
using rmap::Fault;
using rmap::VirtAddr;

namespace {

using Random = RandomTables::Random;

bool one_in(Random& random, unsigned n) { return random() % n == 0; }

/// Small ones, so that everything is evicted now and then: fully associative, an array per size,
/// sets that are no power of two, large pages in pieces.
std::vector<models::TlbConfig> tlb_levels(Random& random) {
    using models::ReplacementPolicy;
    const std::vector<unsigned> all{0, 2, 4, 9, 13, 17, 18, 22, 27};
    switch (random() % 4) {
        case 0:
            return {tlb_of({{"all", all, {8, 8, {}, {}}}})};
        case 1:
            return {tlb_of({{"small", {0, 2, 4}, {8, 4, {}, ReplacementPolicy::kTreePlru}},
                            {"large", {9, 13, 17, 18}, {4, 4, {}, ReplacementPolicy::kNru}}}),
                    tlb_of({{"all", all, {48, 12, {}, {}}}})};
        case 2:
            return {tlb_of({{"small", {0, 4}, {9, 3, {}, ReplacementPolicy::kRandom}}}),
                    tlb_of({{"both", {0, 9}, {15, 5, {}, {}}}})};
        default:
            return {tlb_of({{"4K", {0}, {16, 2, {}, {}}}}),
                    tlb_of({{"4K", {0}, {32, 4, models::IndexFunction::kXorFold, {}}},
                            {"2M", {9}, {8, 8, {}, {}}}})};
    }
}

std::vector<models::WalkCacheConfig> walk_caches(Random& random,
                                                 const rmap::PageTableFormat& format) {
    std::vector<models::WalkCacheConfig> caches;
    for (unsigned level = 2; level <= format.levels; ++level)
        if (!one_in(random, 3)) caches.push_back({{}, level, {4, 2, {}, {}}, {}});
    return caches;
}

WalkerConfig walker_config(Random& random, const FormatPair& formats) {
    WalkerConfig config;
    config.first.format = rmap::find_page_table_format(formats.first);
    config.second.format = rmap::find_page_table_format(formats.second);
    for (auto* stage : {&config.first, &config.second}) {
        stage->caches = walk_caches(random, *stage->format);
        if (one_in(random, 2)) stage->accessed = BitUpdate::kFault;
        if (one_in(random, 2)) stage->dirty = BitUpdate::kFault;
        if (stage->format->bits_are_a_mode()) stage->dirty = stage->accessed;
    }
    if (one_in(random, 2)) config.nested = models::NestedCaching::kPerStage;
    if (!one_in(random, 3)) config.second_tlb = tlb_levels(random).back();
    return config;
}

/// An MMU without time.
class Mmu {
public:
    Mmu(const std::vector<models::TlbConfig>& tlbs, const WalkerConfig& walker) : walker_(walker) {
        for (const auto& tlb : tlbs) tlbs_.emplace_back(tlb);
    }

    struct Answer {
        Fault fault = Fault::kNone;
        std::uint64_t address = 0;
        models::SecondStageViolation violation;
    };
    Answer translate(const models::WalkRequest& request, WalkWords& words) {
        const auto page = rmap::page_of(request.address);
        Translation found;
        std::size_t level = 0;
        for (; level < tlbs_.size(); ++level)
            if (const auto* hit = tlbs_[level].lookup(page, request.tag, request.access)) {
                found = *hit;
                ++hits;
                break;
            }
        if (level == tlbs_.size()) {
            const auto result = walker_.walk(request, words);
            if (result.fault != Fault::kNone) return {result.fault, 0, result.violation};
            found = result.translation;
        }
        while (level-- > 0) tlbs_[level].insert(page, request.tag, found);
        return {
            Fault::kNone,
            rmap::address_of(found.frame_of(page)).value + request.address.value % rmap::kPageSize,
            {}};
    }
    void invalidate(const TlbScope& scope) {
        for (auto& tlb : tlbs_)
            if (scope.stages != TlbScope::Stages::kSecond) tlb.invalidate(scope);
        walker_.invalidate(scope);
    }
    const models::WalkerStats& walker_stats() const { return walker_.stats(); }

    std::uint64_t hits = 0;

private:
    std::deque<TlbArray> tlbs_;
    models::TableWalker walker_;
};

/// One of the ways in which software may flush.
void flush(Random& random, Mmu& mmu, rmap::VmId vm, const RandomTables::Flush& what) {
    using Stages = TlbScope::Stages;
    using Tables = TlbScope::Tables;
    TlbScope scope;
    scope.vm = vm;
    const VirtAddr address{what.address};
    const auto page = rmap::aligned_pages(address, what.order);
    if (what.second) {
        if (one_in(random, 2)) {
            scope.stages = Stages::kSecond;
            scope.range = page;
            if (what.exactly_a_page && one_in(random, 2)) scope.tables = Tables::kKept;
            mmu.invalidate(scope);
            scope = {};
            scope.vm = vm;
        } else {
            scope.stages = Stages::kBoth;
        }
        scope.globals = true;
        mmu.invalidate(scope);
        return;
    }
    if (!one_in(random, 3) && !what.global) scope.space = what.space;
    scope.globals = what.global || one_in(random, 4);
    switch (random() % 4) {
        case 0:  // everything
            break;
        case 1:  // any page of it names a page
            if (what.exactly_a_page) {
                const auto offset = random() % (rmap::kPageSize << what.order);
                scope.range = rmap::aligned_pages(page.start + offset, 0);
                if (one_in(random, 2)) scope.tables = Tables::kKept;
                break;
            }
            [[fallthrough]];
        default:
            scope.range = page;
            if (what.exactly_a_page && one_in(random, 2)) scope.tables = Tables::kKept;
            if (one_in(random, 4)) scope.tables = Tables::kAll;
    }
    mmu.invalidate(scope);
}

struct Totals {
    std::uint64_t hits = 0, walks = 0, faults = 0, violations = 0, flushes = 0, cache_hits = 0;
};

/// One machine with `accesses` accesses; `guests` 0: the host only.
void run_round(std::uint64_t seed, const FormatPair& formats, unsigned guests, unsigned accesses,
               Totals& totals) {
    CAPTURE(seed, formats.first, formats.second, guests);
    Random random(seed);
    WalkWords words;
    const WalkerConfig config = walker_config(random, formats);
    Mmu mmu(tlb_levels(random), config);
    std::vector<std::unique_ptr<RandomTables>> owners;
    for (unsigned vm = guests > 0 ? 1 : 0; vm <= guests; ++vm) {
        const auto orders = config.second.format->page_orders();
        const unsigned order = orders[random() % 2];
        owners.push_back(std::make_unique<RandomTables>(
            RandomTables::Config{static_cast<rmap::VmId>(vm), guests > 0 ? 2u : 3u, config.first,
                                 config.second, order},
            words, [&words](unsigned o) { return words.allocate(o); }));
    }
    constexpr unsigned kAccessesPerChange = 12;
    for (unsigned n = 0; n < accesses; ++n) {
        auto& owner = *owners[random() % owners.size()];
        if (one_in(random, kAccessesPerChange))
            if (const auto what = owner.change(random)) {
                flush(random, mmu, owner.vm(), *what);
                ++totals.flushes;
            }
        const auto use = owner.draw_use(random);
        const auto expected = owner.expect(use);
        const auto answer = mmu.translate({VirtAddr{use.address},
                                           use.access,
                                           {use.space, owner.vm()},
                                           owner.root(use.space),
                                           owner.second_root(),
                                           {}},
                                          words);
        if (answer.fault != expected.fault ||
            answer.address != (answer.fault == Fault::kNone ? expected.address : 0)) {
            CAPTURE(n, use.space, use.address, static_cast<int>(use.access), owner.vm());
            CHECK(static_cast<int>(answer.fault) == static_cast<int>(expected.fault));
            REQUIRE(answer.address == expected.address);
        }
        if (answer.fault != Fault::kNone) {
            ++totals.faults;
            owner.handle(random, use, answer.fault, answer.violation);
        }
    }
    totals.hits += mmu.hits;
    totals.walks += mmu.walker_stats().walks;
    totals.violations += mmu.walker_stats().violations;
    for (const auto hits : mmu.walker_stats().first.cache_hits) totals.cache_hits += hits;
    for (const auto hits : mmu.walker_stats().second.cache_hits) totals.cache_hits += hits;
}

}  // namespace

TEST_CASE("reference walk: every translation is what the tables say", "[unit][walker][random]") {
    constexpr unsigned kLong = 10'000'000;
    constexpr unsigned kRound = 5'000;
    const unsigned total = test_size(200'000, 20'000, kLong);
    Totals totals;
    unsigned done = 0;
    for (std::uint64_t seed = 1; done < total; ++seed)
        for (const auto& formats : kFormatPairs)
            for (const unsigned guests : {0u, 2u}) {
                const unsigned accesses = std::min(kRound, total / 16);
                run_round(seed, formats, guests, accesses, totals);
                done += accesses;
            }
    CHECK(totals.hits > done / 5);
    CHECK(totals.walks > done / 10);
    CHECK(totals.faults > done / 50);
    CHECK(totals.violations > done / 200);
    CHECK(totals.flushes > done / 40);
    CHECK(totals.cache_hits > done / 10);
}

}  // namespace mmusim::test
