// SPDX-License-Identifier: Apache-2.0
// mmusim translate on machines of the tests: counts and latencies follow from the parameters.
#include "platform/translate/translate.hpp"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "platform/config/config_error.hpp"
#include "rmap/types/pte.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_machine.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {
namespace {

using platform::PlatformConfig;
using platform::Reference;
using platform::ReferenceKind;
using platform::Straddle;
using platform::TranslateOptions;
using platform::TranslateResult;
using rmap::Access;
using rmap::Duration;
using rmap::kPageSize;

constexpr std::uint64_t kBase = 0x7f0000000000;

Reference reference(ReferenceKind kind, std::uint64_t address, std::uint16_t size = 8) {
    return {{address}, size, kind};
}
Reference load(std::uint64_t address, std::uint16_t size = 8) {
    return reference(ReferenceKind::kLoad, address, size);
}

/// A trace that a test has written, some references at a time.
class ListTrace final : public platform::TraceReader {
public:
    explicit ListTrace(std::vector<Reference> references) : references_(std::move(references)) {}

    platform::References next() override {
        const auto count = std::min<std::size_t>(7, references_.size() - done_);
        const Reference* const first = references_.data() + std::exchange(done_, done_ + count);
        return {first, first + count};
    }
    platform::TraceFormat format() const override { return platform::TraceFormat::kBinary; }

private:
    const std::vector<Reference> references_;
    std::size_t done_ = 0;
};

TranslateResult translate(const PlatformConfig& config, const std::vector<Reference>& references,
                          const TranslateOptions& options = {}) {
    ListTrace trace(references);
    return platform::translate_trace(config, trace, options);
}

struct Costs {
    explicit Costs(const PlatformConfig& config)
        : hit(config.mmu.tlbs[0].lookup),
          l2_hit(hit + config.mmu.tlbs[1].lookup + config.mmu.tlbs[0].fill),
          walk(l2_hit + config.mmu.tlbs[1].fill + config.mmu.walker.start +
               config.mmu.walker.level * 4) {}
    Duration hit, l2_hit;
    Duration walk;  ///< without the four reads
};

using Latencies = std::map<std::uint64_t, std::uint64_t>;

TEST_CASE("translate: latencies are the sums of lookups walks and fills",
          "[component][translate]") {
    const auto config = test_platform(1, 1);
    const Costs costs(config);
    const auto& memory = config.memory.latency;
    const auto result =
        translate(config, {load(kBase), reference(ReferenceKind::kStore, kBase + 16),
                           reference(ReferenceKind::kFetch, kBase + 32), load(kBase + kPageSize)});
    const Duration cold = costs.walk + memory.dram * 4;
    const Duration warm = costs.walk + memory.l1 * 4;  // its entries lie in the same four lines
    CHECK(result.latency.counts() == Latencies{{costs.hit.ps, 2}, {cold.ps, 1}, {warm.ps, 1}});
    // An instruction or access takes a cycle besides: a nanosecond here.
    CHECK(result.simulated == costs.hit * 2 + cold + warm + rmap::nanoseconds(4));
    CHECK(result.walks.walks == 2);
    CHECK(result.walks.reads == 8);
    CHECK(result.pages == 2);
    CHECK(result.table_pages == 4);
    CHECK(result.oracle.checked == 4);
}

TEST_CASE("translate: each level counts what the ones above it have missed",
          "[component][translate]") {
    auto config = test_platform(1, 1);
    config.mmu.tlbs[0].streams = {models::Stream::kData};
    config.mmu.tlbs.push_back(config.mmu.tlbs[0]);
    config.mmu.tlbs[2].name = "itlb";
    config.mmu.tlbs[2].streams = {models::Stream::kFetch};
    // Five pages of one set of four ways, then the first again: a miss above, a hit below.
    const std::uint64_t distance = config.mmu.tlbs[0].arrays[0].geometry.sets() * kPageSize;
    std::vector<Reference> references;
    for (unsigned page = 0; page < 5; ++page) references.push_back(load(kBase + page * distance));
    references.push_back(reference(ReferenceKind::kStore, kBase));
    references.push_back(reference(ReferenceKind::kFetch, kBase));
    const auto result = translate(config, references);
    const auto counts = [&](std::size_t tlb, Access access) {
        const auto& found = result.tlbs[tlb].by_access[access];
        return std::pair(found.lookups, found.misses);
    };
    using Pair = std::pair<std::uint64_t, std::uint64_t>;
    CHECK(counts(0, Access::kRead) == Pair{5, 5});
    CHECK(counts(0, Access::kWrite) == Pair{1, 1});
    CHECK(counts(0, Access::kExecute) == Pair{0, 0});
    CHECK(counts(1, Access::kRead) == Pair{5, 5});
    CHECK(counts(1, Access::kWrite) == Pair{1, 0});
    CHECK(counts(1, Access::kExecute) == Pair{1, 0});
    CHECK(counts(2, Access::kExecute) == Pair{1, 1});
    CHECK(counts(2, Access::kRead) == Pair{0, 0});
    CHECK(result.tlbs[0].name == "l1_tlb");
    CHECK(result.latency.counts().at(Costs(config).l2_hit.ps) == 2);
}

TEST_CASE("translate: an access to two pages is two translations", "[component][translate]") {
    const auto config = test_platform(1, 1);
    const auto result =
        translate(config, {load(kBase + kPageSize - 4, 8), load(kBase + kPageSize - 4, 4),
                           reference(ReferenceKind::kModify, kBase + kPageSize - 1, 2),
                           load(kBase + kPageSize - 1, 2 + kPageSize)});
    CHECK(result.references == std::array<std::uint64_t, 4>{0, 3, 0, 1});
    CHECK(result.straddling == 3);
    CHECK(result.pages == 3);
    const auto& read = result.tlbs[0].by_access[Access::kRead];
    CHECK(read.lookups == 2 + 1 + 3);
    CHECK(read.misses == 3);
    const auto& write = result.tlbs[0].by_access[Access::kWrite];
    CHECK(write.lookups == 2);
    CHECK(write.misses == 0);
    CHECK(result.latency.stats().count == 8);
}

TEST_CASE("translate: skip and limit choose a part of the trace", "[component][translate]") {
    std::vector<Reference> references;
    for (unsigned page = 0; page < 40; ++page) references.push_back(load(kBase + page * kPageSize));
    TranslateOptions options;
    options.skip = 9;
    options.limit = 20;
    std::uint64_t done = 0;
    options.on_progress = [&](std::uint64_t count) { done = count; };
    const auto result = translate(test_platform(1, 1), references, options);
    CHECK(result.all_references() == 20);
    CHECK(result.pages == 20);
    CHECK(done == 20);
    CHECK_FALSE(result.stopped);
}

TEST_CASE("translate: a stop ends it with what there is", "[component][translate]") {
    const std::vector<Reference> references(100, load(kBase));
    std::atomic<bool> stop = false;
    TranslateOptions options;
    options.stop = &stop;
    options.on_progress = [&](std::uint64_t count) { stop = count >= 14; };
    const auto result = translate(test_platform(1, 1), references, options);
    CHECK(result.stopped);
    CHECK(result.all_references() == 14);
    CHECK(result.oracle.checked == 14);
}

TEST_CASE("translate: large pages need shorter walks and fewer entries", "[component][translate]") {
    auto config = test_platform(1, 1);
    std::vector<Reference> references;
    for (unsigned page = 0; page < 512; ++page)
        references.push_back(load(kBase + page * kPageSize));
    references.push_back(load(kBase + kPageSize - 4, 8));  // within one page
    TranslateOptions options;
    options.page_order = rmap::kLargeOrder;
    const auto result = translate(config, references, options);
    CHECK(result.pages == 1);
    CHECK(result.straddling == 0);
    CHECK(result.walks.walks == 1);
    CHECK(result.walks.reads == 3);
    CHECK(result.tlbs[0].total().misses == 1);
}

TEST_CASE("translate: what cannot be mapped is the user's mistake", "[component][translate]") {
    const auto error = [](const PlatformConfig& config, const std::vector<Reference>& references,
                          const TranslateOptions& options) {
        return run_in_child([&] {
            try {
                translate(config, references, options);
            } catch (const platform::UserError& user_error) {
                return std::string(user_error.what());
            }
            return std::string("no error");
        });
    };
    auto config = test_platform(1, 1);
    CHECK(error(config, {load(0x1234'5678'9abc'def0)}, {}) ==
          "the trace touches 0x123456789abcd000, which x86-64-4level does not translate");
    TranslateOptions options;
    options.page_order = 4;
    CHECK_THAT(error(config, {load(kBase)}, options),
               Catch::StartsWith("there are no pages of 64K; x86-64-4level has 4K, 2M"));
    std::vector<Reference> references;
    for (unsigned page = 0; page < 4096; ++page)
        references.push_back(load(kBase + page * kPageSize));
    CHECK(error(config, references, {}) ==
          "the trace touches more than the 16 MiB of the platform's memory; more is "
          "topology.memory_mib_per_node");
    config.topology.frames_per_node *= 2;
    CHECK(error(config, references, {}) == "no error");
}

TEST_CASE("translate: a chase over more pages than a TLB holds begins to miss there",
          "[component][translate]") {
    // Misses of both levels in the second round of a chase.
    const auto misses = [](std::uint64_t pages) {
        return run_in_child([&] {
            std::vector<Reference> references;
            for (std::uint64_t visit = 0; visit < 2 * pages; ++visit)
                references.push_back(load(kBase + visit * 37 % pages * kPageSize));
            const auto result = translate(test_platform(1, 1), references);
            return std::to_string(result.tlbs[0].total().misses - pages) + " " +
                   std::to_string(result.tlbs[1].total().misses - pages);
        });
    };
    const auto config = test_platform(1, 1);
    const auto& first = config.mmu.tlbs[0].arrays[0].geometry;
    const auto& second = config.mmu.tlbs[1].arrays[0].geometry;
    // Neighbouring pages fill the sets evenly; one page more is too much for its set, one page more
    // in each set too much for all, since the least recently used one goes.
    CHECK(misses(first.entries) == "0 0");
    CHECK(misses(first.entries + 1) == std::to_string(first.ways + 1) + " 0");
    CHECK(misses(first.entries + first.sets()) ==
          std::to_string(first.entries + first.sets()) + " 0");
    CHECK(misses(second.entries) == std::to_string(second.entries) + " 0");
    CHECK(misses(second.entries + 1) ==
          std::to_string(second.entries + 1) + " " + std::to_string(second.ways + 1));
    const auto all = std::to_string(second.entries + second.sets());
    CHECK(misses(second.entries + second.sets()) == all + " " + all);
}

// ---- cachegrind's rules, against a cache simulator of a few lines ----

/// An LRU cache whose lines are pages.
class LruCache {
public:
    explicit LruCache(const models::ArrayGeometry& geometry)
        : ways_(geometry.ways), sets_(geometry.sets()) {}

    /// A use of the page; whether it was missing.
    bool misses(std::uint64_t page) {
        auto& set = sets_[page % sets_.size()];
        const auto found = std::find(set.begin(), set.end(), page);
        const bool missing = found == set.end();
        if (!missing) set.erase(found);
        set.push_front(page);
        if (set.size() > ways_) set.pop_back();
        return missing;
    }
    /// Of one reference to all pages from `first` to `last`.
    bool misses(std::uint64_t first, std::uint64_t last) {
        bool any = false;
        for (std::uint64_t page = first; page <= last; ++page) any |= misses(page);
        return any;
    }

private:
    std::size_t ways_;
    std::vector<std::list<std::uint64_t>> sets_;  ///< most recently used first
};

std::vector<Reference> straddling_references(std::size_t count) {
    std::mt19937_64 random(11);
    std::vector<Reference> references;
    for (std::size_t n = 0; n < count; ++n) {
        const std::uint64_t page = random() % (n % 3 == 0 ? 60 : 20);
        const bool straddles = random() % 4 == 0;
        const std::uint64_t at = straddles ? kPageSize - 1 - random() % 7 : random() % 4000;
        references.push_back(
            reference(static_cast<ReferenceKind>(random() % 4), kBase + page * kPageSize + at, 8));
    }
    return references;
}

std::string misses_text(const platform::TlbCounts& first_fetch,
                        const platform::TlbCounts& first_data, const platform::TlbCounts& second) {
    std::string text;
    for (const auto access : platform::kAllAccesses) {
        const auto& first = access == Access::kExecute ? first_fetch : first_data;
        for (const auto* counts : {&first.by_access[access], &second.by_access[access]})
            text += std::to_string(counts->lookups) + ":" + std::to_string(counts->misses) + " ";
    }
    return text;
}

/// The same by the simulator of a few lines.
std::string expected_misses(const std::vector<Reference>& references,
                            const models::ArrayGeometry& first,
                            const models::ArrayGeometry& second) {
    LruCache fetches(first);
    LruCache data(first);
    LruCache both(second);
    platform::TlbCounts upper;
    platform::TlbCounts lower;
    for (const auto& r : references) {
        const Access access = r.kind == ReferenceKind::kFetch   ? Access::kExecute
                              : r.kind == ReferenceKind::kStore ? Access::kWrite
                                                                : Access::kRead;
        const std::uint64_t begin = r.address.value / kPageSize;
        const std::uint64_t end = (r.address.value + r.size - 1) / kPageSize;
        auto& one = upper.by_access[access];
        auto& two = lower.by_access[access];
        ++one.lookups;
        if (!(access == Access::kExecute ? fetches : data).misses(begin, end)) continue;
        ++one.misses;
        ++two.lookups;
        two.misses += both.misses(begin, end);
    }
    return misses_text(upper, upper, lower);
}

TEST_CASE("translate: straddling references can be counted as cachegrind does",
          "[component][translate]") {
    const auto references = straddling_references(20'000);
    using Geometry = models::ArrayGeometry;
    const std::pair<Geometry, Geometry> geometries[] = {
        {{8, 2}, {32, 4}}, {{8, 8}, {32, 32}}, {{4, 1}, {16, 16}}, {{1, 1}, {2, 2}}};
    for (const auto& [first, second] : geometries) {
        auto config = test_platform(1, 1);
        auto itlb = split_tlb(first, {4, 4}, rmap::nanoseconds(1), rmap::nanoseconds(1));
        itlb.name = "itlb";
        itlb.streams = {models::Stream::kFetch};
        auto dtlb = itlb;
        dtlb.name = "dtlb";
        dtlb.streams = {models::Stream::kData};
        auto stlb = config.mmu.tlbs[1];
        stlb.arrays[0].geometry = second;
        config.mmu.tlbs = {itlb, dtlb, stlb};
        TranslateOptions options;
        options.straddle = Straddle::kCachegrind;
        const std::string seen = run_in_child([&] {
            const auto result = translate(config, references, options);
            return misses_text(result.tlbs[0], result.tlbs[1], result.tlbs[2]);
        });
        INFO(first.entries << ":" << first.ways << " " << second.entries << ":" << second.ways);
        CHECK(seen == expected_misses(references, first, second));
    }
}

}  // namespace
}  // namespace mmusim::test
