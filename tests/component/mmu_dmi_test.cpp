// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <random>

#include "tests/component/mmu_bench.hpp"
#include "tests/component/tlb_bench.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::ArrayGeometry;
using models::CoreModule;
using models::IndexFunction;
using models::ReplacementPolicy;
using models::Stream;
using platform::Dmi;
using rmap::Access;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::nanoseconds;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

constexpr std::uint64_t kFar = 1ull << 30;  ///< between regions: each has a directory of its own
constexpr unsigned kRegions = 3;
constexpr unsigned kPages = 8;  ///< that are accessed in each

VirtAddr address_of(unsigned region, std::uint64_t page) {
    return kPage + region * kFar + page * rmap::kPageSize;
}

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
    return (hash ^ value) * 0x100000001b3ull;
}
constexpr std::uint64_t kNothingMixed = 0xcbf29ce484222325ull;

/// What an observer is told, as a number.
struct Observed final : models::AccessObserver {
    std::uint64_t uses = 0;
    std::uint64_t hash = kNothingMixed;

    void judge(rmap::ActorId, const models::AccessBatch& batch) override {
        uses += batch.size();
        batch.for_each([this](const models::AccessRecord& use) {
            for (const std::uint64_t value :
                 {use.time.ps, use.filled.ps, use.page.value, use.frame.value,
                  static_cast<std::uint64_t>(use.access), std::uint64_t{use.mm}})
                hash = mixed(hash, value);
        });
    }
};

/// Accesses at random, with all that can change a translation in between.
class Stress {
public:
    Stress(TestMachine& machine, CoreModule& core, std::uint64_t seed)
        : machine_(machine), core_(core), draw_(seed) {
        for (unsigned region = 0; region < kRegions; ++region)
            leaves_[region] = machine.entry_of(address_of(region, 0));
    }

    /// What each access has met, as a number.
    std::uint64_t run(unsigned steps) {
        enter(core_, machine_);
        for (unsigned n = 0; n < steps; ++n) {
            const auto what = number(1000);
            if (what < 950)
                access();
            else if (what < 960)
                switch_space();
            else if (what < 970)
                core_.label_address_space(static_cast<rmap::MmId>(1 + number(3)));
            else if (what < 985)
                change();
            else
                invalidate();
        }
        return hash_;
    }

private:
    std::uint64_t number(std::uint64_t below) { return draw_() % below; }
    VirtAddr any_page() {
        const auto region = static_cast<unsigned>(number(kRegions));
        return address_of(region, number(kPages));
    }

    void access() {
        // Runs of accesses to one page with single ones to others, as programs have them.
        if (number(8) == 0) page_ = any_page();
        const VirtAddr address = number(4) == 0 ? any_page() : page_;
        const Access kind[] = {Access::kRead, Access::kRead, Access::kWrite, Access::kExecute};
        const auto ask = number(50) == 0 ? CoreModule::Ask::kAllLevels : CoreModule::Ask::kUntilHit;
        const auto begin = core_.time().local_now();
        const Fault fault = core_.access(address, kind[number(4)], kAccess, ask);
        mix(core_.missed_levels());
        mix(static_cast<std::uint64_t>(fault));
        mix((core_.time().local_now() - begin).ps);
    }
    void switch_space() {
        pcid_ = static_cast<rmap::Pcid>(1 + number(3));
        const bool flushes = number(4) == 0;
        test::invalidate(
            core_, flushes ? TlbOperation::Kind::kCr3Write : TlbOperation::Kind::kCr3WriteNoFlush,
            {}, pcid_, machine_.root());
    }
    /// Of an entry, without an invalidation: it stays in TLBs as it was.
    void change() {
        const auto region = static_cast<unsigned>(number(kRegions));
        const auto leaf = leaves_[region];
        if (number(3) == 0) {  // the region as one page, or as many
            large_[region] = !large_[region];
            const rmap::PhysAddr directory{leaf.value - rmap::kPageSize};
            const auto table = rmap::frame_of(leaf);
            const auto entry = large_[region]
                                   ? Pte::present_entry(FrameNumber{512 * (region + 1)},
                                                        kMapped | Pte::kPageSize | global())
                                   : Pte::present_entry(table, Pte::kWritable);
            core_.store(directory, {entry.raw(), 0}, rmap::Part::kPteAccess);
            return;
        }
        // Stores that fault use an entry and fill none in.
        constexpr std::uint64_t kFlags[] = {kMapped & ~Pte::kWritable, kMapped & ~Pte::kDirty,
                                            kMapped & ~Pte::kWritable, kMapped | Pte::kNoExecute};
        const auto entry = number(8) == 0 ? Pte{}
                                          : Pte::present_entry(FrameNumber{100 + number(400)},
                                                               kFlags[number(4)] | global());
        core_.store(leaf + 8 * number(kPages), {entry.raw(), 0}, rmap::Part::kPteAccess);
    }
    std::uint64_t global() { return number(4) == 0 ? Pte::kGlobal : 0; }

    void invalidate() {
        constexpr TlbOperation::Kind kKinds[] = {
            TlbOperation::Kind::kInvlpg, TlbOperation::Kind::kInvlpg,
            TlbOperation::Kind::kInvpcidAddress, TlbOperation::Kind::kAll};
        const auto kind = kKinds[number(4)];
        const VirtAddr page = any_page();
        test::invalidate(core_, kind, page, static_cast<rmap::Pcid>(1 + number(3)));
    }

    void mix(std::uint64_t value) { hash_ = mixed(hash_, value); }

    TestMachine& machine_;
    CoreModule& core_;
    std::mt19937_64 draw_;
    VirtAddr page_ = kPage;
    rmap::Pcid pcid_ = 1;
    rmap::PhysAddr leaves_[kRegions];  ///< entries of the first pages
    bool large_[kRegions] = {};
    std::uint64_t hash_ = kNothingMixed;
};

/// What a run has shown, and the statistics of its TLBs.
std::string stressed(const platform::PlatformConfig& config, Dmi dmi, std::uint64_t seed) {
    return run_in_child([&] {
        platform::Platform::Options options;
        options.dmi = dmi;
        Observed observed;
        options.observer = &observed;
        TestMachine machine(config, options, std::nullopt);
        for (unsigned region = 0; region < kRegions; ++region)
            for (std::uint64_t page = 0; page < kPages; ++page)
                machine.map(address_of(region, page), FrameNumber{500 + page}, kMapped);
        std::uint64_t hash = 0;
        machine.program(0,
                        [&](CoreModule& core) { hash = Stress(machine, core, seed).run(30000); });
        machine.run();
        std::string seen = fmt::format("{:x} observed {} {:x}", hash, observed.uses, observed.hash);
        for (const auto& tlb : machine->mmu(0).tlbs()) {
            const auto& stats = tlb->stats();
            seen += fmt::format(" {} {} {} {}", stats.lookups(), stats.hits, stats.misses,
                                stats.invalidated);
        }
        return seen;
    });
}

}  // namespace

TEST_CASE("mmu dmi: grants change nothing of what is accessed, counted and observed",
          "[component][mmu]") {
    struct Geometry {
        const char* name;
        std::vector<models::PageArrayConfig> data;
        std::vector<models::PageArrayConfig> fetch;                 ///< none: the same TLB
        models::Inclusion inclusion = models::Inclusion::kNeither;  ///< of the second level
        unsigned live_spaces = 0;                                   ///< likewise
    };
    constexpr unsigned kLarge = rmap::kLargeOrder;
    const auto policy = [](std::size_t entries, unsigned ways, ReplacementPolicy replacement) {
        return ArrayGeometry{entries, ways, IndexFunction::kPlain, replacement};
    };
    const std::vector<Geometry> all = {
        {"split LRU", {{"small", {0}, {16, 4}}, {"large", {kLarge}, {4, 2}}}, {}},
        {"large first", {{"large", {kLarge}, {4, 2}}, {"small", {0}, {16, 4}}}, {}},
        {"shared LRU", {{"shared", {0, kLarge}, {12, 3}}}, {}},
        {"fully associative", {{"shared", {0, kLarge}, {20, 20}}}, {}},
        {"two ways", {{"shared", {0, kLarge}, {16, 2}}}, {}},
        {"direct mapped", {{"shared", {0, kLarge}, {16, 1}}}, {}},
        {"pieces", {{"small", {0}, {16, 4}}}, {}},
        {"tree", {{"shared", {0, kLarge}, policy(16, 4, ReplacementPolicy::kTreePlru)}}, {}},
        {"nru", {{"shared", {0, kLarge}, policy(16, 8, ReplacementPolicy::kNru)}}, {}},
        {"random", {{"shared", {0, kLarge}, policy(16, 4, ReplacementPolicy::kRandom)}}, {}},
        {"mru+1",
         {{"shared",
           {0, kLarge},
           {48, 12, IndexFunction::kXorFold, ReplacementPolicy::kMruPlusOnePlru4}}},
         {}},
        {"inclusive", {{"shared", {0, kLarge}, {16, 4}}}, {}, models::Inclusion::kInclusive, 2},
        {"exclusive", {{"shared", {0, kLarge}, {16, 4}}}, {}, models::Inclusion::kExclusive},
        {"two", {{"small", {0}, {8, 2}}, {"large", {kLarge}, {2, 2}}}, {{"small", {0}, {4, 4}}}},
    };
    for (const auto& geometry : all) {
        auto config = test_platform(1, 1);
        config.mmu.tlbs[0].arrays = geometry.data;
        config.mmu.tlbs[1].inclusion = geometry.inclusion;
        config.mmu.tlbs[1].live_spaces = geometry.live_spaces;
        if (!geometry.fetch.empty()) {
            auto fetch = config.mmu.tlbs[0];
            fetch.name = "fetch";
            fetch.arrays = geometry.fetch;
            fetch.streams = {Stream::kFetch};
            config.mmu.tlbs[0].streams = {Stream::kData};
            config.mmu.tlbs.push_back(fetch);
        }
        for (const std::uint64_t seed : {1, 2, 3, 4}) {
            CAPTURE(geometry.name, seed);
            const auto with = stressed(config, Dmi::kOn, seed);
            CHECK(with == stressed(config, Dmi::kOff, seed));
            CHECK(with.find("failed") == std::string::npos);
        }
    }
}

namespace {

using Pages = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("mmu dmi: a grant names the entry and the time of its hits", "[component][mmu]") {
    TlbBench bench(one_level(tlb_of({{"small", {0}, {4, 2}}}, nanoseconds(3))));
    bench.access(6);
    const auto* grant = bench.grant(6);
    REQUIRE(grant);
    CHECK(grant->translation.frame == FrameNumber{6});
    CHECK(grant->lookup == nanoseconds(3));
    CHECK(grant->order == 0);
    CHECK(bench.dmi.get_start_address() == 6 * rmap::kPageSize);
    CHECK(bench.dmi.get_end_address() == 7 * rmap::kPageSize - 1);
    CHECK(bench.dmi.get_read_latency() == sc_core::sc_time(3, sc_core::SC_NS));
    CHECK_FALSE(bench.grant(7));
}

TEST_CASE("mmu dmi: only the way that was used last is granted", "[component][mmu]") {
    TlbBench bench(one_level(tlb_of({{"small", {0}, {4, 2}}})));
    bench.access(0);
    bench.access(2);
    CHECK_FALSE(bench.grant(0));
    CHECK(bench.grant(2));
    bench.access(0);
    CHECK(bench.grant(0));
}

TEST_CASE("mmu dmi: what was granted is withdrawn when its entry is evicted", "[component][mmu]") {
    TlbBench bench(one_level(tlb_of({{"small", {0}, {4, 2}}})));
    bench.access(0);
    REQUIRE(bench.grant(0));
    bench.access(1);  // another set
    bench.access(2);
    CHECK(bench.withdrawn().empty());
    bench.access(4);
    CHECK(bench.withdrawn() == Pages{0});
    bench.access(6);  // 2 goes, which was not granted
    CHECK(bench.withdrawn().empty());
}

TEST_CASE("mmu dmi: what was granted is withdrawn by every invalidation that drops it",
          "[component][mmu]") {
    TlbBench bench(one_level(tlb_of({{"small", {0}, {4, 2}}})));
    const auto granted = [&](std::uint64_t page) {
        bench.access(page);
        return bench.grant(page) != nullptr;
    };
    models::TlbScope scope;
    scope.range = rmap::aligned_pages(rmap::address_of(rmap::PageNumber{1}), 0);
    REQUIRE(granted(0));
    REQUIRE(granted(1));
    CHECK(bench.tlb(0).invalidate(scope) == 1);
    CHECK(bench.withdrawn() == Pages{1});
    CHECK(bench.tlb(0).invalidate(scope) == 0);
    CHECK(bench.withdrawn().empty());
    REQUIRE(granted(1));
    scope.range.reset();
    CHECK(bench.tlb(0).invalidate(scope) == 2);
    CHECK(bench.withdrawn() == Pages{0});  // all of them at once
}

TEST_CASE("mmu dmi: what was granted is withdrawn when another size may answer for its pages",
          "[component][mmu]") {
    TlbBench bench(one_level(tlb_of({{"large", {2}, {4, 2}}, {"small", {0}, {4, 2}}})));
    bench.access(5);
    REQUIRE(bench.grant(5));
    bench.order = 2;
    bench.access(6);  // fills in pages 4 to 7
    CHECK(bench.withdrawn() == Pages{4});
    REQUIRE(bench.grant(5));
    CHECK(bench.grant(5)->order == 2);
}

}  // namespace mmusim::test
