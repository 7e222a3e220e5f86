// SPDX-License-Identifier: Apache-2.0
#include "models/observe/access_writer.hpp"

#include <catch2/catch.hpp>

namespace mmusim::models {
namespace {

using rmap::Access;
using rmap::Instant;
using rmap::PageNumber;

struct Seen final : AccessObserver {
    std::vector<AccessRecord> uses;
    std::uint64_t compared = 0;
    std::vector<WalkDifference> differences;

    void judge(rmap::ActorId, const AccessBatch& batch) override {
        batch.for_each([this](const AccessRecord& use) { uses.push_back(use); });
    }
    void judge_walks(rmap::ActorId, std::uint64_t count,
                     const std::vector<WalkDifference>& differing) override {
        compared += count;
        differences.insert(differences.end(), differing.begin(), differing.end());
    }
};

/// Of 2 MiB, so that its pages have frames of their own.
Translation translation_at(std::uint64_t frame, std::uint64_t read_at) {
    Translation translation;
    translation.frame = {frame};
    translation.order = 9;
    translation.read_at = Instant{read_at};
    return translation;
}

struct Bench {
    Seen seen;
    std::uint64_t stores = 0;
    AccessWriter writer{0, &seen, &stores};
    std::uint64_t now = 1000;

    void use(std::uint64_t page, const Translation& used, Access access = Access::kRead) {
        writer.write(Instant{++now}, PageNumber{page}, access, used);
    }
};

}  // namespace

TEST_CASE("access writer: each use is told with its own time, page, frame and context",
          "[unit][observe]") {
    Bench bench;
    const auto large = translation_at(512, 7);
    bench.writer.set_context(4, 0);
    bench.use(1, large);
    bench.use(1, large);
    bench.use(2, large);
    bench.use(1, large, Access::kWrite);
    bench.use(1, translation_at(1024, 9));
    bench.writer.set_context(5, 2);
    bench.use(1, translation_at(1024, 9));
    bench.writer.settle(rmap::kNever);

    const auto& uses = bench.seen.uses;
    REQUIRE(uses.size() == 6);
    for (std::size_t n = 0; n < uses.size(); ++n) CHECK(uses[n].time == Instant{1001 + n});
    CHECK(uses[1].frame.value == 513);
    CHECK(uses[2].frame.value == 514);
    CHECK(uses[3].access == Access::kWrite);
    CHECK(uses[4].frame.value == 1025);
    CHECK(uses[4].filled == Instant{9});
    CHECK(uses[4].mm == 4);
    CHECK(uses[5].mm == 5);
    CHECK(uses[5].vm == 2);
}

TEST_CASE("access writer: uses that are not settled outlast the forgetting of kinds",
          "[unit][observe]") {
    Bench bench;
    std::vector<std::uint64_t> pages;
    const auto use = [&](std::uint64_t page) {
        pages.push_back(page);
        bench.use(page, translation_at(page / 512 * 512, 7));
    };
    for (std::uint64_t page = 1; page < 20'000; ++page) {
        use(page);
        use(0);  // known before and after
        if (page % 3000 == 0) bench.writer.settle(Instant{bench.now - 5});
    }
    bench.writer.settle(rmap::kNever);

    const auto& uses = bench.seen.uses;
    REQUIRE(uses.size() == pages.size());
    std::uint64_t wrong = 0;
    for (std::size_t n = 0; n < pages.size(); ++n)
        wrong += uses[n].page.value != pages[n] || uses[n].frame.value != pages[n] ||
                 uses[n].time != Instant{1001 + n};
    CHECK(wrong == 0);
}

TEST_CASE("access writer: what a walk has confirmed is known until it may have changed",
          "[unit][observe]") {
    Bench bench;
    const auto used = translation_at(512, 7);
    bench.use(1, used);
    CHECK_FALSE(bench.writer.write_known());
    bench.writer.write_confirmed();

    bench.use(1, used);
    CHECK(bench.writer.write_known());
    bench.use(1, translation_at(512, 8));  // read again, and the same
    CHECK(bench.writer.write_known());

    SECTION("a store") {
        ++bench.stores;
        bench.use(1, used);
    }
    SECTION("another frame") { bench.use(1, translation_at(1024, 9)); }
    SECTION("another page") { bench.use(2, used); }
    SECTION("another access") { bench.use(1, used, Access::kWrite); }
    SECTION("another address space") {
        bench.writer.set_context(9, 0);
        bench.use(1, used);
    }
    CHECK_FALSE(bench.writer.write_known());
    bench.writer.write_difference(WalkDifference::What::kOtherFrame);
    bench.writer.settle(rmap::kNever);
    CHECK(bench.seen.compared == 4);
    REQUIRE(bench.seen.differences.size() == 1);
    CHECK(bench.seen.differences[0].use.time == Instant{bench.now});
}

}  // namespace mmusim::models
