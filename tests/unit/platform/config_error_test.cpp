// SPDX-License-Identifier: Apache-2.0
// Every mistake in a configuration is one line that names the place and what was expected there.
#include <catch2/catch.hpp>
#include <string>

#include "tests/support/config_fixture.hpp"

namespace mmusim::test {
namespace {

constexpr char kFrom[] = "from = \"assumed: test\"";

TEST_CASE("config errors: an unknown key names the nearest one", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.platform_error("[coherence]\nsame_soket = { ns = 1 }\n") ==
          "p.toml:3:1: unknown key 'coherence.same_soket'; nearest is 'same_socket'");
    CHECK(fixture.platform_error("[kernel.costs]\ncopypage = { ns = 1 }\n") ==
          "p.toml:3:1: unknown key 'kernel.costs.copypage'; nearest is 'copy_page'");
    CHECK(fixture.platform_error("[topolgy]\nsockets = 1\n") ==
          "p.toml:2:2: unknown section 'topolgy'; nearest is 'topology'");
    CHECK(fixture.error({"topolgy.sockets=1"}) ==
          "--set:1:1: unknown section 'topolgy'; nearest is 'topology'");
    CHECK(fixture.error({"topology.sockets=1", "tlb.dtlb.looukp.ns=1"}) ==
          "--set:2:10: unknown key 'tlb.dtlb.looukp'; nearest is 'lookup'");
}

TEST_CASE("config errors: an unknown key with nothing near lists the valid ones",
          "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.platform_error("[walker]\nqqqqqqqq = 1\n") ==
          "p.toml:3:1: unknown key 'walker.qqqqqqqq'; valid are 'start', 'level', 'format', "
          "'accessed', "
          "'dirty', 'cache', 'second_stage'");
}

TEST_CASE("config errors: a wrong type says what is there and what was expected",
          "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.platform_error(std::string("[topology]\n") + kFrom + "\nsockets = \"two\"\n") ==
          "p.toml:4:11: 'topology.sockets' is a string; expected a whole number from 1 to 64 "
          "(sockets, each one a NUMA node)");
    CHECK(fixture.platform_error("[walker]\nstart = 7\n") ==
          "p.toml:3:9: 'walker.start' is a whole number; expected { ns = NUMBER, from = \"...\" } "
          "or { cycles = NUMBER, from = \"...\" } (from the TLB miss to the first read)");
    CHECK(fixture.platform_error("[walker]\nstart = { ns = true, from = \"assumed: x\" }\n") ==
          "p.toml:3:16: 'walker.start' is true or false; expected { ns = NUMBER, from = \"...\" } "
          "or { cycles = NUMBER, from = \"...\" } (from the TLB miss to the first read)");
    CHECK(fixture.platform_error("walker = 3\n") ==
          "p.toml:2:1: 'walker' is a whole number; expected a section");
    fixture.platform_file = shipped("platforms/skylake-sp-2s");
    CHECK(fixture.scenario_error("[region.heap]\nwritten = 1\n") ==
          "s.toml:3:11: 'region.heap.written' is a whole number; expected true or false (the pages "
          "were written before)");
}

TEST_CASE("config errors: a number out of range says the range", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(
        fixture.error({"topology.sockets=0"}) ==
        "--set:1:18: 'topology.sockets' is 0; expected a whole number from 1 to 64 (sockets, each "
        "one a NUMA node)");
    CHECK(
        fixture.error({"topology.sockets=-1"}) ==
        "--set:1:18: 'topology.sockets' is -1; expected a whole number from 1 to 64 (sockets, each "
        "one a NUMA node)");
    CHECK(fixture.error({"interrupt.delivery.ns=0"}) ==
          "--set:1:23: 'interrupt.delivery' is 0 ns; expected 0.001 ns to 1 s (from the slot to a "
          "core of the same socket)");
    CHECK(fixture.error({"interrupt.to_fabric.ns=0"}) ==
          "--set:1:24: 'interrupt.to_fabric' is 0 ns; expected 0.001 ns to 1 s (from the write to "
          "the fabric's queue)");
    CHECK(fixture.error({"coherence.hop.ns=-1"}) ==
          "--set:1:18: 'coherence.hop' is -1 ns; expected 0, or 0.001 ns to 1 s (added per step "
          "between sockets)");
    CHECK(fixture.error({"walker.level.ns=0.0001"}) ==
          "--set:1:17: 'walker.level' is 0.0001 ns; expected 0, or 0.001 ns to 1 s (per level, "
          "besides the memory read)");
    CHECK(
        fixture.error({"topology.clock_mhz=0.5"}) ==
        "--set:1:20: 'topology.clock_mhz' is 0.5; expected a number from 1 to 100000 (clock of the "
        "cores in MHz)");
    CHECK(fixture.error({"process.main.access.ns=0"}) ==
          "--set:1:24: 'process.main.access' is 0 ns; expected 0.001 ns to 1 s (one access besides "
          "its translation)");
}

TEST_CASE("config errors: a missing file is reported where it is named", "[unit][config]") {
    ConfigFixture fixture;
    fixture.folder().write("part.toml", "");
    fixture.platform_file = fixture.folder().write("p.toml", "\nextends = [\"prat.toml\"]\n");
    CHECK(fixture.error() ==
          "p.toml:2:12: cannot open 'prat.toml': No such file or directory; "
          "nearest is 'part.toml'");
    fixture.platform_file = fixture.folder().write("p.toml", "extends = \"gone/part.toml\"\n");
    CHECK(fixture.error() == "p.toml:1:11: cannot open 'gone/part.toml': no folder 'gone'");
    fixture.platform_file = fixture.folder().path("pp.toml");
    CHECK(fixture.error() ==
          "cannot open 'pp.toml': No such file or directory; nearest is 'p.toml'");
}

TEST_CASE("config errors: files that extend each other are named in order", "[unit][config]") {
    ConfigFixture fixture;
    fixture.folder().write("a.toml", "extends = \"p.toml\"\n");
    fixture.platform_file = fixture.folder().write("p.toml", "\nextends = \"./a.toml\"\n");
    CHECK(fixture.error() == "a.toml:1:11: 'extends' goes in a circle: p.toml -> a.toml -> p.toml");
    fixture.platform_file = fixture.folder().write("p.toml", "extends = \"p.toml\"\n");
    CHECK(fixture.error() == "p.toml:1:11: 'extends' goes in a circle: p.toml -> p.toml");
}

TEST_CASE("config errors: what is not TOML is one line as well", "[unit][config]") {
    ConfigFixture fixture;
    const std::string message = fixture.platform_error("[walker\nstart = 1\n");
    CHECK_THAT(message, Catch::StartsWith("p.toml:2:8: not valid TOML: "));
    CHECK(message.find('\n') == std::string::npos);
    fixture.platform_file = shipped("platforms/skylake-sp-2s");
    CHECK_THAT(fixture.error({"walker.start={ns=1"}),
               Catch::StartsWith("--set:1:19: not valid TOML: "));
}

TEST_CASE("config errors: a missing key is reported after unknown ones", "[unit][config]") {
    ConfigFixture fixture;
    fixture.platform_file = fixture.folder().write("p.toml", "[platform]\ndescription = \"x\"\n");
    CHECK(fixture.error() ==
          "p.toml:1:2: 'platform.name' is missing; expected a string (short name of the machine)");
    fixture.platform_file =
        fixture.folder().write("p.toml", "[platform]\ndescription = \"x\"\n[topolgy]\n");
    CHECK(fixture.error() == "p.toml:3:2: unknown section 'topolgy'; nearest is 'topology'");
    fixture.platform_file = fixture.folder().write("p.toml", "[platform]\nnam = \"x\"\n");
    CHECK(fixture.error() == "p.toml:2:1: unknown key 'platform.nam'; nearest is 'name'");
}

TEST_CASE("config errors: every number needs a provenance of a known kind", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.platform_error("[coherence]\nhop = { ns = 60 }\n") ==
          "p.toml:3:7: 'coherence.hop' has no provenance; expected from = \"measured: ...\", "
          "\"published: ...\" or \"assumed: ...\"");
    CHECK(fixture.platform_error("[coherence]\nhop = { ns = 60, from = \"guess\" }\n") ==
          "p.toml:3:25: provenance of 'coherence.hop' is 'guess'; expected \"measured: ...\", "
          "\"published: ...\" or \"assumed: ...\"");
    CHECK(fixture.platform_error("[topology]\nsockets = 4\n") ==
          "p.toml:3:11: 'topology.sockets' has no provenance; expected from = \"measured: ...\", "
          "\"published: ...\" or \"assumed: ...\" in the same section of this file");
    CHECK(fixture.platform_error("[topology]\nfrom = \"published:\"\nsockets = 4\n") ==
          "p.toml:3:8: provenance of 'topology.sockets' is 'published:'; expected \"measured: "
          "...\", \"published: ...\" or \"assumed: ...\"");
}

TEST_CASE("config errors: a quantity has exactly one unit", "[unit][config]") {
    ConfigFixture fixture;
    const std::string expected =
        "; expected { ns = NUMBER, from = \"...\" } or { cycles = NUMBER, from = \"...\" } (added "
        "per step between sockets)";
    CHECK(fixture.platform_error("[coherence]\nhop = { ns = 6, cycles = 2, from = \"assumed: x\" }"
                                 "\n") ==
          "p.toml:3:17: 'coherence.hop' has both ns and cycles" + expected);
    CHECK(
        fixture.platform_error("[coherence]\nhop = { from = \"assumed: x\", ns = 2, us = 1 }\n") ==
        "p.toml:3:38: unknown key 'us' in 'coherence.hop'" + expected);
    fixture.platform_file = shipped("platforms/skylake-sp-2s");
    CHECK(
        fixture.scenario_error("[process.main]\naccess = { cycles = 6 }\n") ==
        "s.toml:3:12: unknown key 'cycles' in 'process.main.access'; expected { ns = NUMBER } (one "
        "access besides its translation)");
}

TEST_CASE("config errors: names that nothing has", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"region.heap.process=mian"}) ==
          "--set:1:13: no process is called 'mian'; nearest is 'main'");
    CHECK(fixture.error({"operation.reclaim.region=haep"}) ==
          "--set:1:19: no region is called 'haep'; nearest is 'heap'");
    CHECK(fixture.error({"process.man.threads=1"}) ==
          "--set:1:9: no process is called 'man'; nearest is 'main'");
    CHECK(fixture.error({"flush.mechanism=ippi"}) ==
          "--set:1:17: 'flush.mechanism' is 'ippi', which is not known; nearest is 'ipi'");
    CHECK(fixture.error({"kernel.profile=v5.1"}) ==
          "--set:1:16: 'kernel.profile' is 'v5.1', which is not known; nearest is 'v5.0'");
    CHECK(fixture.error({"inject.fault=drop-ipi"}) ==
          "--set:1:14: 'inject.fault' is 'drop-ipi', which is not known; nearest is "
          "'drop-ipi-target'");
    CHECK(fixture.error({"process.main.pattern=unifrom"}) ==
          "--set:1:22: 'process.main.pattern' is 'unifrom', which is not known; nearest is "
          "'uniform'");
}

TEST_CASE("config errors: a section in the wrong file or without one", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(
        fixture.scenario_error("[kernel]\npcid = false\n") ==
        "s.toml:2:2: section 'kernel' belongs to a platform; this file was given as the scenario");
    fixture.scenario_file.clear();
    CHECK(
        fixture.error({"process.main.threads=1"}) ==
        "--set:1:1: section 'process' belongs to a scenario; expected one of a platform, since no "
        "scenario is given");
}

TEST_CASE("config errors: --set needs a key and a value", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"topology.sockets"}) ==
          "--set:1:1: 'topology.sockets' has no value; expected key=value, such as "
          "topology.sockets=4");
    CHECK(fixture.error({"topology..sockets=4"}) ==
          "--set:1:10: 'topology..sockets' is not a key; expected names joined by dots, such as "
          "topology.sockets");
    CHECK(fixture.error({"topology.sockets.x=4"}) ==
          "--set:1:10: 'sockets' is a value, not a section");
    CHECK(
        fixture.error({"topology.sockets="}) ==
        "--set:1:18: not valid TOML: Error while parsing key-value pair: encountered end-of-file");
}

}  // namespace
}  // namespace mmusim::test
