// SPDX-License-Identifier: Apache-2.0
// The sections [walker], [walker.cache.NAME] and [walker.second_stage] of a platform.
#include <catch2/catch.hpp>

#include "tests/support/config_fixture.hpp"

namespace mmusim::test {
namespace {

using models::BitUpdate;

const std::string kGuests =
    "[walker]\n"
    "format = \"arm64-16k\"\n"
    "accessed = \"hardware\"\n"
    "dirty = \"fault\"\n"
    "[walker.cache.pdpt]\n"
    "from = \"assumed: x\"\n"
    "level = 3\n"
    "entries = 6\n"
    "ways = 2\n"
    "replacement = \"nru\"\n"
    "lookup = { ns = 2, from = \"assumed: x\" }\n"
    "[walker.second_stage]\n"
    "accessed = \"fault\"\n"
    "caching = \"per-stage\"\n"
    "[walker.second_stage.cache.lower]\n"
    "from = \"assumed: x\"\n"
    "level = 2\n"
    "entries = 8\n"
    "ways = 8\n"
    "lookup = { ns = 1, from = \"assumed: x\" }\n"
    "[walker.second_stage.tlb]\n"
    "lookup = { ns = 3, from = \"assumed: x\" }\n"
    "fill = { ns = 4, from = \"assumed: x\" }\n"
    "[walker.second_stage.tlb.array.shared]\n"
    "from = \"assumed: x\"\n"
    "pages = [\"16K\", \"2M\"]\n"
    "entries = 64\n"
    "ways = 4\n";

/// Without a scenario, which would need the formats that the kernel writes.
struct MachineFixture : ConfigFixture {
    MachineFixture() { scenario_file.clear(); }
};

TEST_CASE("walker config: both stages are read with their caches", "[unit][config]") {
    MachineFixture fixture;
    fixture.platform_file = fixture.platform(kGuests);
    const auto walker = fixture.load().platform.mmu.walker;
    CHECK(walker.first.format->name == "arm64-16k");
    CHECK(walker.first.accessed == BitUpdate::kHardware);
    CHECK(walker.first.dirty == BitUpdate::kFault);
    const auto pdpt = std::find_if(walker.first.caches.begin(), walker.first.caches.end(),
                                   [](const auto& cache) { return cache.name == "pdpt"; });
    REQUIRE(pdpt != walker.first.caches.end());
    CHECK(pdpt->level == 3);
    CHECK(pdpt->geometry.entries == 6);
    CHECK(pdpt->geometry.ways == 2);
    CHECK(pdpt->geometry.replacement == models::ReplacementPolicy::kNru);
    CHECK(pdpt->lookup == rmap::nanoseconds(2));
    CHECK(walker.second.format->name == "arm64-16k-stage2");  // what goes with the first
    CHECK(walker.second.accessed == BitUpdate::kFault);
    CHECK(walker.second.dirty == BitUpdate::kHardware);
    CHECK(walker.nested == models::NestedCaching::kPerStage);
    REQUIRE(walker.second.caches.size() == 1);
    CHECK(walker.second.caches[0].name == "lower");
    REQUIRE(walker.second_tlb.arrays.size() == 1);
    CHECK(walker.second_tlb.arrays[0].orders == std::vector<unsigned>{2, 9});
    CHECK(walker.second_tlb.lookup == rmap::nanoseconds(3));
    CHECK(walker.second_tlb.fill == rmap::nanoseconds(4));
}

TEST_CASE("walker config: without a word it is of the kernel's formats and sets the bits",
          "[unit][config]") {
    MachineFixture fixture;
    const auto walker = fixture.load().platform.mmu.walker;
    CHECK(walker.first.format == &rmap::x86_64_4level());
    CHECK(walker.second.format == &rmap::ept_4level());
    for (const auto* stage : {&walker.first, &walker.second}) {
        CHECK(stage->accessed == BitUpdate::kHardware);
        CHECK(stage->dirty == BitUpdate::kHardware);
    }
    CHECK(walker.nested == models::NestedCaching::kCombined);
}

TEST_CASE("walker config: formats are named by their stage and belong together", "[unit][config]") {
    MachineFixture fixture;
    CHECK(fixture.error({"walker.format=sv40"}) ==
          "--set:1:15: 'walker.format' is 'sv40', which is not known; nearest is 'sv48'");
    CHECK(fixture.error({"walker.format=sv39x4"}) ==
          "--set:1:15: 'walker.format' is 'sv39x4', which is not known; nearest is 'sv39'");
    CHECK(fixture.error({"walker.second_stage.format=sv39x4"}) ==
          "--set:1:21: 'walker.second_stage.format' is sv39x4, of another architecture than "
          "x86-64-4level; expected ept-4level");
    CHECK_NOTHROW(
        fixture.load({"walker.format=arm64-16k", "walker.second_stage.format=arm64-4k-stage2"}));
    CHECK(fixture.error({"walker.second_stage.accessed=fault"}) ==
          "--set:1:21: 'walker.second_stage.accessed' is fault, unlike the other; ept-4level "
          "has accessed and dirty bits or neither");
    CHECK_NOTHROW(
        fixture.load({"walker.second_stage.accessed=fault", "walker.second_stage.dirty=fault"}));
}

TEST_CASE("walker config: each level of a format has at most one cache", "[unit][config]") {
    MachineFixture fixture;
    const auto cache = [](const std::string& name, const std::string& level) {
        return "[walker.cache." + name + "]\nfrom = \"assumed: x\"\nlevel = " + level +
               "\nentries = 4\nways = 4\nlookup = { ns = 1, from = \"assumed: x\" }\n";
    };
    CHECK(fixture.platform_error(cache("fifth", "5")) ==
          "p.toml:4:1: 'walker.cache.fifth.level' is 5; x86-64-4level has levels 1 to 4");
    CHECK(fixture.platform_error("[walker]\nformat = \"x86-64-5level\"\n" + cache("one", "5") +
                                 cache("other", "5")) ==
          "p.toml:12:1: 'walker.cache.other.level' is 5, that of 'walker.cache.one', too; expected "
          "one cache for each level");
    CHECK(fixture.platform_error(cache("pages", "1")) ==
          "p.toml:4:9: 'walker.cache.pages.level' is 1; expected a whole number from 2 to 5 (level "
          "of the entries that it keeps; 1: those of the smallest pages)");
}

TEST_CASE("walker config: a scenario runs with the formats that the kernel writes",
          "[unit][config]") {
    ConfigFixture fixture;
    CHECK_NOTHROW(fixture.load());
    CHECK(fixture.error({"walker.format=x86-64-5level"}) ==
          "--set:1:8: 'walker.format' is x86-64-5level; expected x86-64-4level to run a scenario, "
          "for the kernel knows nothing else");
    CHECK(fixture.error({"walker.dirty=fault"}) ==
          "--set:1:8: 'walker.dirty' is fault; expected hardware to run a scenario, for the kernel "
          "knows nothing else");
    CHECK(
        fixture.error({"walker.second_stage.accessed=fault", "walker.second_stage.dirty=fault"}) ==
        "--set:1:21: 'walker.second_stage.accessed' is fault; expected hardware to run a "
        "scenario, for the kernel knows nothing else");
}

}  // namespace
}  // namespace mmusim::test
