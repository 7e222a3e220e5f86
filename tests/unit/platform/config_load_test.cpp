// SPDX-License-Identifier: Apache-2.0
// Merging, --set, conversion, the shipped files, and what `config show` prints.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "platform/config/config_show.hpp"
#include "platform/config/lookahead.hpp"
#include "platform/config/nearest_name.hpp"
#include "tests/support/config_fixture.hpp"

namespace mmusim::test {
namespace {

using platform::ConfigLeaf;
using platform::LoadedConfig;

const ConfigLeaf& leaf(const LoadedConfig& config, const std::string& section,
                       const std::string& key) {
    for (const auto& each : config.effective.leaves)
        if (each.section == section && each.key == key) return each;
    throw std::out_of_range(section + '.' + key);
}

TEST_CASE("config load: the later file wins and the rest stays", "[unit][config]") {
    ConfigFixture fixture;
    fixture.folder().write("one.toml",
                           "[coherence]\nhop = { ns = 1, from = \"assumed: one\" }\n"
                           "dram = { ns = 1, from = \"assumed: one\" }\n");
    fixture.folder().write("two.toml", "[coherence]\nhop = { ns = 2, from = \"assumed: two\" }\n");
    fixture.platform_file =
        fixture.folder().write("p.toml", "extends = [\"" + shipped("platforms/skylake-sp-2s") +
                                             "\", \"one.toml\", \"two.toml\"]\n"
                                             "[platform]\nname = \"mine\"\n");
    const LoadedConfig config = fixture.load();
    CHECK(config.platform.name == "mine");
    CHECK(config.platform.memory.latency.hop.ps == 2000);
    CHECK(config.platform.memory.latency.dram.ps == 1000);
    CHECK(config.platform.memory.latency.same_socket.ps == 48000);
    CHECK(leaf(config, "coherence", "hop").provenance == "assumed: two");
    CHECK_THAT(platform::short_origin(leaf(config, "coherence", "hop").origin),
               Catch::EndsWith("/two.toml:2"));
    CHECK_THAT(platform::short_origin(leaf(config, "coherence", "same_socket").origin),
               Catch::StartsWith("platforms/skylake-sp-2s.toml:"));
}

TEST_CASE("config load: a quantity is replaced as a whole", "[unit][config]") {
    ConfigFixture fixture;
    fixture.platform_file =
        fixture.platform("[walker]\nstart = { ns = 5, from = \"assumed: x\" }\n");
    CHECK(fixture.load().platform.mmu.walker.start.ps == 5000);
    // Written as a section of its own it is still one quantity.
    fixture.platform_file = fixture.platform("[walker.start]\nns = 6\nfrom = \"assumed: x\"\n");
    CHECK(fixture.load().platform.mmu.walker.start.ps == 6000);
    CHECK(fixture.load({"walker.start.ns=7"}).platform.mmu.walker.start.ps == 7000);
    CHECK(fixture.load({"walker.start.cycles=5"}).platform.mmu.walker.start.ps == 2000);
}

TEST_CASE("config load: plain numbers keep the provenance of the file that wrote them",
          "[unit][config]") {
    ConfigFixture fixture;
    fixture.platform_file =
        fixture.platform("[tlb.dtlb.array.small]\nfrom = \"measured: here\"\nentries = 128\n");
    const LoadedConfig config = fixture.load();
    CHECK(config.platform.mmu.tlbs[0].arrays[0].geometry.entries == 128);
    CHECK(leaf(config, "tlb.dtlb.array.small", "entries").provenance == "measured: here");
    CHECK_THAT(leaf(config, "tlb.dtlb.array.small", "ways").provenance,
               Catch::StartsWith("published: "));
}

TEST_CASE("config load: cycles become the nearest picosecond", "[unit][config]") {
    ConfigFixture fixture;
    // 2500 MHz: 400 ps per cycle; 2600.5 MHz: 384.541 ps.
    CHECK(fixture.load({"walker.start.cycles=193"}).platform.mmu.walker.start.ps == 77200);
    CHECK(fixture.load({"walker.start.cycles=0.5"}).platform.mmu.walker.start.ps == 200);
    CHECK(fixture.load({"topology.clock_mhz=2600.5", "walker.start.cycles=193"})
              .platform.mmu.walker.start.ps == 74216);
    CHECK(fixture.load({"walker.start.ns=0.0005"}).platform.mmu.walker.start.ps == 1);
    CHECK(fixture.load({"walker.start.ns=1.2345"}).platform.mmu.walker.start.ps == 1235);
    CHECK(fixture.load().platform.clock_khz == 2'500'000);
}

TEST_CASE("config load: --set has the last word and says so", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.load({"process.main={threads=2}"}).scenario.processes.at(0).threads == 2);
    const LoadedConfig config = fixture.load(
        {"coherence.hop.ns=60", "coherence.hop.ns=61", "topology.sockets=4", "kernel.pcid=false",
         "platform.name=mine", "scenario.description=\"two words\"", "process.main.threads=5",
         "kernel.costs.copy_page={ns=300,from=\"measured: x\"}", "inject.fault=drop-ipi-target"});
    CHECK(config.platform.memory.latency.hop.ps == 61000);
    CHECK(leaf(config, "coherence", "hop").provenance == "assumed: set on the command line");
    CHECK(platform::short_origin(leaf(config, "coherence", "hop").origin) == "--set");
    CHECK(config.platform.topology.sockets == 4);
    CHECK(config.platform.topology.hops[3][1] == 1);
    CHECK(leaf(config, "topology", "sockets").provenance == "assumed: set on the command line");
    CHECK_FALSE(config.platform.policy.pcid);
    CHECK(config.platform.name == "mine");
    CHECK(config.scenario.description == "two words");
    CHECK(config.scenario.processes.at(0).threads == 5);
    CHECK(config.platform.costs.copy_page.ps == 300000);
    CHECK(leaf(config, "kernel.costs", "copy_page").provenance == "measured: x");
    CHECK(config.scenario.injected_fault == rmap::InjectedFault::kDropIpiTarget);
}

TEST_CASE("config load: entries of a scenario keep the order of the file", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = fixture.scenario(
        "[process.zebra]\nthreads = 0\naccess = { ns = 1 }\n"
        "[process.ape]\nthreads = 0\naccess = { ns = 1 }\n");
    const auto processes = fixture.load().scenario.processes;
    REQUIRE(processes.size() == 3);
    CHECK(processes[0].name == "main");
    CHECK(processes[1].name == "zebra");
    CHECK(processes[2].name == "ape");
}

TEST_CASE("config load: every shipped scenario loads on every platform that has what it needs",
          "[unit][config]") {
    for (const auto& platform_path : shipped_files("platforms")) {
        const auto machine = ConfigFixture::load_files(platform_path, "").platform;
        if (!machine.runs) continue;
        for (const auto& scenario_path : shipped_files("scenarios")) {
            INFO(platform_path << " with " << scenario_path);
            const auto needs = [&](const char* what) {
                return scenario_path.find(what) != std::string::npos;
            };
            if (needs("migrate") && machine.topology.sockets < 2) continue;
            if ((needs("svm") || needs("everything")) && machine.devices.empty()) continue;
            CHECK_NOTHROW(ConfigFixture::load_files(platform_path, scenario_path));
        }
    }
}

TEST_CASE("config load: shipped files are named as they call themselves", "[unit][config]") {
    for (const auto& path : shipped_files("platforms"))
        CHECK(ConfigFixture::load_files(path, "").platform.name ==
              std::filesystem::path(path).stem());
    for (const auto& path : shipped_files("scenarios"))
        CHECK(ConfigFixture::load_files(shipped("platforms/skylake-sp-2s"), path).scenario.name ==
              std::filesystem::path(path).stem());
}

TEST_CASE("config load: the automatic quantum on Skylake is at least 20 ns", "[unit][config]") {
    const LoadedConfig config = ConfigFixture::load_files(shipped("platforms/skylake-sp-2s"), "");
    CHECK(platform::exact_quantum(config.platform).time.ps >= 20'000);
    CHECK(platform::exact_quantum(config.platform).kind == "memory");
}

TEST_CASE("config load: the closest pair of cores sets the quantum", "[unit][config]") {
    const auto pair = [](const std::vector<std::string>& settings) {
        const auto config =
            ConfigFixture::load_files(shipped("platforms/skylake-sp-2s"), "", settings);
        const auto least = platform::exact_quantum(config.platform);
        return least.from + " " + least.to;
    };
    CHECK(pair({}) == "core0 core1");
    CHECK(pair({"topology.cores_per_socket=1", "topology.sockets=3",
                "topology.hops=[[0,2,2],[2,0,1],[2,1,0]]"}) == "core1 core2");
    CHECK(pair({"topology.cores_per_socket=1", "topology.sockets=1"}) == "core0 core0");
}

TEST_CASE("config load: of two devices the shorter link is the lookahead of invalidations",
          "[unit][config]") {
    ConfigFixture fixture;
    const auto link = [&](unsigned ns) {
        fixture.platform_file = fixture.platform(device_section("nic1", 15105, ns));
        const auto row = platform::lookaheads(fixture.load().platform).back();
        return row.kind + " " + row.key + " " + std::to_string(row.time.ps);
    };
    CHECK(link(249) == "invalidation device.nic1.link 249000");
    CHECK(link(251) == "invalidation device.nic0.link 250000");
}

TEST_CASE("config show: the output reads back to the same configuration", "[unit][config]") {
    const std::vector<std::string> settings = {"coherence.hop.ns=60.125",
                                               "tlb.dtlb.array.small.entries=128",
                                               "platform.description=\"quotes \\\" and \\\\\""};
    for (const auto& scenario : {"reclaim-anon", "munmap", "migrate", "reclaim-file"}) {
        ConfigFixture fixture;
        const LoadedConfig first =
            ConfigFixture::load_files(shipped("platforms/capture-vm"),
                                      shipped(std::string("scenarios/") + scenario), settings);
        const std::string text = config_toml(first.effective, first.platform);
        const std::string both = fixture.folder().write("both.toml", text);
        const LoadedConfig second = ConfigFixture::load_files(both, both);
        REQUIRE(first.effective.leaves.size() == second.effective.leaves.size());
        for (std::size_t i = 0; i < first.effective.leaves.size(); ++i) {
            const auto& a = first.effective.leaves[i];
            const auto& b = second.effective.leaves[i];
            INFO(a.section << '.' << a.key);
            CHECK(a.key == b.key);
            CHECK(a.value.value.index() == b.value.value.index());
            CHECK(a.time == b.time);
        }
        CHECK(second.platform.memory.latency.hop.ps == 60125);
        CHECK(second.platform.description == "quotes \" and \\");
        CHECK(config_toml(second.effective, second.platform).size() > 1000);
    }
}

TEST_CASE("config show: every value has its origin and the end has the lookaheads",
          "[unit][config]") {
    const LoadedConfig config = ConfigFixture::load_files(
        shipped("platforms/skylake-sp-2s"), shipped("scenarios/munmap"), {"coherence.hop.ns=60"});
    const std::string text = config_toml(config.effective, config.platform);
    CHECK_THAT(text, Catch::Contains("\nhop = { ns = 60, from = \"assumed: set on the command "
                                     "line\" }  # --set\n"));
    CHECK_THAT(text, Catch::Contains("invlpg = { cycles = 193, from = \"published: Hansen 2017"));
    CHECK_THAT(text, Catch::Contains("# 77.2 ns, " + kConfigs));
    CHECK_THAT(text, Catch::Contains("\n# lazy_threads = 0  # default\n"));
    CHECK_THAT(text, Catch::Contains("#   memory            24 ns  half of coherence.same_socket "
                                     "(core0 and core1)\n"
                                     "#   interrupt        250 ns  interrupt.delivery (core0 and "
                                     "core1)\n"
                                     "#   invalidation     250 ns  device.nic0.link (iommu and "
                                     "nic0)\n"
                                     "# Automatic quantum: 24 ns, the least of them, set by memory "
                                     "(core0 and core1).\n"));
}

TEST_CASE("config show: JSON nests the sections and does not depend on folders", "[unit][config]") {
    const LoadedConfig config =
        ConfigFixture::load_files(shipped("platforms/skylake-sp-2s"), shipped("scenarios/munmap"));
    const auto json = platform::config_json(config.effective);
    CHECK(json["tlb"]["dtlb"]["lookup"]["value"] == 1);
    CHECK(json["tlb"]["dtlb"]["lookup"]["unit"] == "cycles");
    CHECK(json["tlb"]["dtlb"]["lookup"]["ns"] == 0.4);
    CHECK_THAT(json["tlb"]["dtlb"]["lookup"]["origin"].get<std::string>(),
               Catch::StartsWith("parts/skylake-core.toml:"));
    CHECK(json["process"]["main"]["lazy_threads"]["origin"] == "default");
    CHECK(json["topology"]["hops"]["value"][0][1] == 1);
    CHECK(json.dump().find(MMUSIM_REPO_DIR) == std::string::npos);
    CHECK(platform::lookahead_json(config.platform)["quantum_ns"] == 24.0);
}

TEST_CASE("nearest names: letters wrong or missing or swapped", "[unit][config]") {
    const std::vector<std::string> names = {"same_socket", "hop", "lock_handover", "sockets"};
    CHECK(platform::nearest_name("same_soket", names) == "same_socket");
    CHECK(platform::nearest_name("hpo", names) == "hop");
    CHECK(platform::nearest_name("form", {"four", "from"}) == "from");
    CHECK(platform::nearest_name("lock", names) == "lock_handover");
    CHECK(platform::nearest_name("socket", names) == "sockets");
    CHECK(platform::nearest_name("frobnicate", names).empty());
    CHECK(platform::nearest_hint("x", {}) == "there are none");
}

}  // namespace
}  // namespace mmusim::test
