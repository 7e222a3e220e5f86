// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "platform/cli/config_files.hpp"
#include "tests/support/sweep_fixture.hpp"

namespace mmusim::test {
namespace {

TEST_CASE("sweep: axes have the order of the file and points the order of the axis",
          "[unit][sweep]") {
    const auto sweep = SweepFixture().read(
        "[axis.z]\nkey = \"kernel.swap_cluster_max\"\nvalues = [8, 1]\n"
        "[axis.a]\nlabel = \"machines (1)\"\n[axis.a.points]\n"
        "two = [\"topology.sockets=2\"]\none = [\"topology.sockets=1\", \"kernel.pcid=false\"]\n",
        "description = \"words\"\nset = [\"region.heap.pages=64\"]");
    CHECK(sweep.name == "test");
    CHECK(sweep.description == "words");
    CHECK(sweep.operation == rmap::OperationKind::kUnmap);
    REQUIRE(sweep.settings.size() == 1);
    CHECK(sweep.settings[0].text == "region.heap.pages=64");
    REQUIRE(sweep.axes.size() == 2);
    CHECK(sweep.axes[0].name == "z");
    CHECK(sweep.axes[0].label == "z");
    REQUIRE(sweep.axes[0].points.size() == 2);
    CHECK(sweep.axes[0].points[0].name == "8");
    CHECK(sweep.axes[0].points[0].settings[0].text == "kernel.swap_cluster_max=8");
    CHECK(sweep.axes[1].label == "machines (1)");
    REQUIRE(sweep.axes[1].points.size() == 2);
    CHECK(sweep.axes[1].points[0].name == "two");
    CHECK(sweep.axes[1].points[1].settings[1].text == "kernel.pcid=false");
}

TEST_CASE("sweep: a value is named as it is written and strings without quotes", "[unit][sweep]") {
    const auto sweep = SweepFixture().read(
        "[axis.a]\nkey = \"region.heap.kind\"\nvalues = [\"anon\", 2, 2.5, true]\n");
    const auto& points = sweep.axes.at(0).points;
    REQUIRE(points.size() == 4);
    CHECK(points[0].name == "anon");
    CHECK(points[0].settings[0].text == "region.heap.kind=\"anon\"");
    CHECK(points[1].name == "2");
    CHECK(points[2].name == "2.5");
    CHECK(points[3].settings[0].text == "region.heap.kind=true");
}

TEST_CASE("sweep: a point without settings is one", "[unit][sweep]") {
    const auto sweep = SweepFixture().read(
        "[axis.notifier.points]\nwithout = []\nwith = [\"process.main.notifier=true\"]\n");
    REQUIRE(sweep.axes.at(0).points.size() == 2);
    CHECK(sweep.axes[0].points[0].settings.empty());
}

TEST_CASE("sweep: files are relative to the file that names them", "[unit][sweep]") {
    const SweepFixture fixture;
    fixture.folder().write("p/m.toml", "extends = \"" + shipped("platforms/laptop") + "\"\n");
    fixture.folder().write("base/b.toml",
                           "[sweep]\nname = \"b\"\nplatform = \"../p/m.toml\"\nscenario = \"" +
                               shipped("scenarios/munmap") + "\"\noperation = \"munmap\"\n");
    const auto path = fixture.folder().write(
        "w.toml", "extends = \"base/b.toml\"\n[axis.a]\nkey = \"kernel.pcid\"\nvalues = [true]\n");
    const auto sweep = platform::read_sweep(path);
    CHECK(sweep.platform_file == fixture.folder().path("p/m.toml"));
    CHECK(sweep.operation == rmap::OperationKind::kMunmap);
}

TEST_CASE("sweep errors: what is wrong in the file is named with its place", "[unit][sweep]") {
    const SweepFixture fixture;
    CHECK(fixture.error("") ==
          "w.toml:2:1: sweep 'test' varies nothing; expected at least one [axis.NAME]");
    CHECK(fixture.error("[axs.a]\n") == "w.toml:7:2: unknown section 'axs'; nearest is 'axis'");
    CHECK(fixture.error("[axis.a]\nvalue = [1]\n") ==
          "w.toml:8:1: unknown key 'axis.a.value'; nearest is 'values'");
    CHECK(fixture.error("[axis.a]\n") ==
          "w.toml:7:7: axis 'a' has no points; expected 'key' with 'values', or names with "
          "settings in [axis.a.points]");
    CHECK_THAT(fixture.error("[axis.a]\nkey = \"kernel.pcid\"\n"),
               Catch::StartsWith("w.toml:7:7: axis 'a' has a key without values; "));
    CHECK_THAT(fixture.error("[axis.a]\nvalues = [1]\n"),
               Catch::StartsWith("w.toml:7:7: axis 'a' has values without a key; "));
    CHECK_THAT(fixture.error("[axis.a]\nkey = \"kernel.pcid\"\n[axis.a.points]\nx = []\n"),
               Catch::StartsWith("w.toml:7:7: axis 'a' has points beside 'key' or 'values'; "));
    CHECK(fixture.error("[axis.a]\nkey = \"kernel.pcid\"\nvalues = []\n") ==
          "w.toml:9:10: 'axis.a.values' is empty; expected an array of strings, numbers, or true "
          "and false (of the key)");
    CHECK(fixture.error("[axis.a]\nkey = \"kernel.pcid\"\nvalues = [1, [2]]\n") ==
          "w.toml:9:14: 'axis.a.values' has an array in it; expected an array of strings, "
          "numbers, or true and false (of the key)");
    CHECK(fixture.error("[axis.a]\nkey = \"kernel.pcid\"\nvalues = 3\n") ==
          "w.toml:9:10: 'axis.a.values' is a whole number; expected an array of strings, numbers, "
          "or true and false (of the key)");
    CHECK(fixture.error("[axis.a.points]\nx = [\"kernel.pcid=true\", 7]\n") ==
          "w.toml:8:26: 'axis.a.points.x' has a whole number in it; expected an array of strings "
          "(arguments of --set)");
    CHECK(fixture.error("[axis.a]\nkey = \"kernel.pcid\"\nvalues = [1, 2, \"1\"]\n") ==
          "w.toml:9:17: axis 'a' has '1' twice; expected different values");
    CHECK_THAT(fixture.error("[axis.a.points]\nx = []\n[axis.a.points]\ny = []\n"),
               Catch::StartsWith("w.toml:9:1: not valid TOML: ") &&
                   Catch::Contains("redefine existing table 'axis.a.points'"));
}

TEST_CASE("sweep errors: operation and files that do not exist", "[unit][sweep]") {
    const SweepFixture fixture;
    const auto whole = [&](const std::string& line, const std::string& replacement) {
        std::string text = "[sweep]\nname = \"x\"\nplatform = \"" + shipped("platforms/laptop") +
                           "\"\nscenario = \"" + shipped("scenarios/munmap") +
                           "\"\noperation = \"munmap\"\n[axis.a.points]\nx = []\n";
        const auto at = text.find(line);
        const auto end = text.find('\n', at);
        text.replace(at, end - at, replacement);
        return fixture.error_in(fixture.folder().write("w.toml", text));
    };
    CHECK(whole("operation", "operation = \"munmpa\"") ==
          "w.toml:5:13: 'sweep.operation' is 'munmpa', which is not known; nearest is 'munmap'");
    CHECK(whole("operation", "") ==
          "w.toml:1:2: 'sweep.operation' is missing; expected a string (operation whose latency is "
          "reported)");
    CHECK(whole("name", "name = \"a/b\"") ==
          "w.toml:2:8: 'sweep.name' is 'a/b', after which a folder is called; expected letters, "
          "digits, '_' and '-'");
    fixture.folder().write("scen.toml", "");
    CHECK(whole("scenario", "scenario = \"secn.toml\"") ==
          "w.toml:4:12: cannot open 'secn.toml': No such file or directory; nearest is "
          "'scen.toml'");
    std::filesystem::create_directory(fixture.folder().path("folder"));
    CHECK_THAT(whole("platform", "platform = \"folder\""),
               Catch::StartsWith("w.toml:3:12: cannot open 'folder': "));
}

TEST_CASE("sweep errors: a setting is wrong where it is written", "[unit][sweep]") {
    const SweepFixture fixture;
    CHECK(fixture.error("[axis.a]\nkey = \"kernel.swap_cluster_mxa\"\nvalues = [1]\n") ==
          "w.toml:8:15: unknown key 'kernel.swap_cluster_mxa'; nearest is 'swap_cluster_max'; in "
          "point a=1");
    CHECK(fixture.error("[axis.a]\nkey = \"kernel.swap_cluster_max\"\nvalues = [4, 0]\n") ==
          "w.toml:9:14: 'kernel.swap_cluster_max' is 0; expected a whole number from 1 to 65536 "
          "(pages of one reclaim batch); in point a=0");
    CHECK(fixture.error("[axis.a.points]\nx = []\ny = [\"kernel.pcid=true\", "
                        "\"region.heap.kind=fle\"]\n") ==
          "w.toml:9:44: 'region.heap.kind' is 'fle', which is not known; nearest is 'file'; in "
          "point a=y");
    CHECK(fixture.error("[axis.a.points]\ny = [\"kernel.pcid\"]\n") ==
          "w.toml:8:7: 'kernel.pcid' has no value; expected key=value, such as "
          "topology.sockets=4; in point a=y");
    CHECK(fixture.error("[axis.a.points]\nx = []\n", "set = [\"kernal.pcid=true\"]") ==
          "w.toml:6:9: unknown section 'kernal'; nearest is 'kernel'; in point a=x");
    CHECK(fixture.error("[axis.a.points]\nx = []\n", "set = [\"kernel.pcid=true\"]",
                        {"kernel.swap_slots=3", "walker.strat.ns=1"}) ==
          "--set:2:8: unknown key 'walker.strat'; nearest is 'start'; in point a=x");
    // What is wrong only together is reported where the value is.
    CHECK_THAT(fixture.error("[axis.a]\nkey = \"process.main.threads\"\nvalues = [3, 56]\n"),
               Catch::StartsWith("w.toml:8:21: process 'main' needs CPUs 1 to 56; ") &&
                   Catch::EndsWith("; in point a=56"));
}

TEST_CASE("sweep: every point of the shipped sweeps can be loaded", "[unit][sweep]") {
    const auto files = platform::shipped_configs(platform::ConfigKind::kSweep);
    CHECK(files.size() >= 2);
    for (const auto& file : files) {
        INFO(file.name);
        const auto sweep = platform::read_sweep(file.path);
        CHECK(sweep.name == file.name);
        CHECK_FALSE(sweep.description.empty());
        for (const auto& point : platform::sweep_points(sweep, {}))
            CHECK_NOTHROW(platform::load_point(sweep, point, platform::mechanism_names()));
    }
}

}  // namespace
}  // namespace mmusim::test
