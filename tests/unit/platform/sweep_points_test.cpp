// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/support/sweep_fixture.hpp"

namespace mmusim::test {
namespace {

using Strings = std::vector<std::string>;

constexpr char kTwoAxes[] =
    "[axis.n]\nkey = \"kernel.swap_cluster_max\"\nvalues = [1, 2, 4]\n"
    "[axis.m.points]\nx = [\"region.heap.pages=8\", \"kernel.pcid=true\"]\ny = []\n";

Strings texts(const platform::SweepPoint& point) {
    Strings result;
    for (const auto& setting : point.settings) result.push_back(setting.text);
    return result;
}

TEST_CASE("sweep points: the product of the axes with the first one fastest", "[unit][sweep]") {
    Strings names;
    for (const auto& point : SweepFixture().points(kTwoAxes)) names.push_back(point.name);
    CHECK(names == Strings{"n=1,m=x", "n=2,m=x", "n=4,m=x", "n=1,m=y", "n=2,m=y", "n=4,m=y"});
}

TEST_CASE("sweep points: settings of the sweep come first and those of the axes last",
          "[unit][sweep]") {
    const SweepFixture fixture;
    const auto sweep = fixture.read(kTwoAxes, "set = [\"kernel.swap_slots=100\"]");
    const auto points = platform::sweep_points(sweep, {"kernel.swap_slots=200"});
    CHECK(texts(points.at(1)) == Strings{"kernel.swap_slots=100", "kernel.swap_slots=200",
                                         "kernel.swap_cluster_max=2", "region.heap.pages=8",
                                         "kernel.pcid=true"});
    CHECK(points[1].values == Strings{"2", "x"});
    const auto loaded = platform::load_point(sweep, points[1], {"ipi"});
    CHECK(loaded.platform.policy.swap_slots == 200);
    CHECK(loaded.platform.policy.swap_cluster_max == 2);
    CHECK(loaded.scenario.regions.at(0).pages == 8);
}

TEST_CASE("sweep points: names are names of files and differ", "[unit][sweep]") {
    std::set<std::string> names;
    const auto points = SweepFixture().points(
        "[axis.a]\nkey = \"scenario.description\"\n"
        "values = [\"a/b\", \"a%2Fb\", \"a,b\", \"\", \".\", \"\u00b5 =\"]\n");
    for (const auto& point : points) {
        names.insert(point.name);
        CHECK(point.name.find('/') == std::string::npos);
    }
    CHECK(names.size() == 6);
    CHECK(points[0].name == "a=a%2Fb");
    CHECK(points[1].name == "a=a%252Fb");
    CHECK(points[5].name == "a=%C2%B5%20%3D");
    CHECK(points[0].values == Strings{"a/b"});
}

TEST_CASE("sweep points: names have at most 200 characters", "[unit][sweep]") {
    const SweepFixture fixture;
    const auto axis = [](std::size_t length) {
        return "[axis.a]\nkey = \"scenario.description\"\nvalues = [\"" +
               std::string(length - 2, 'x') + "\"]\n";
    };
    CHECK(fixture.points(axis(200)).at(0).name.size() == 200);
    CHECK(fixture.error(axis(201)) == "w.toml:7:7: the name of point 'a=" + std::string(199, 'x') +
                                          "' has 201 characters; expected at most 200");
}

TEST_CASE("sweep points: a value has one place that decides it", "[unit][sweep]") {
    const SweepFixture fixture;
    constexpr char kHop[] = "[axis.hop]\nkey = \"coherence.hop.ns\"\nvalues = [40, 80]\n";
    CHECK(fixture.error(kHop, "set = [\"coherence.hop={ns=3}\"]") ==
          "w.toml:8:8: both 'sweep.set' and axis 'hop' set 'coherence.hop.ns'; expected one of "
          "them");
    CHECK(fixture.error(kHop, "", {"kernel.pcid=true", "coherence.hop.ns=3"}) ==
          "--set:2:1: both --set and axis 'hop' set 'coherence.hop.ns'; expected one of them");
    CHECK(fixture.error(std::string(kHop) +
                        "[axis.b.points]\nx = []\ny = [\"coherence.hop.ns=1\"]\n") ==
          "w.toml:12:7: both axis 'hop' and axis 'b' set 'coherence.hop.ns'; expected one of them");
    CHECK(fixture.error(kHop, "set = [\"coherence.hop.cycles=3\"]") ==
          "w.toml:8:8: both 'sweep.set' and axis 'hop' set 'coherence.hop.ns'; expected one of "
          "them");
    // A name that only begins alike is another key.
    CHECK(fixture.points("[axis.a]\nkey = \"kernel.swap\"\nvalues = [1]\n", {"kernel.swap_slots=1"})
              .size() == 1);
}

TEST_CASE("sweep points: an axis has no name of a measured column", "[unit][sweep]") {
    for (const std::string name : {"pages", "point", "p50_ns", "part_ack_ns", "counter_x"}) {
        const SweepFixture fixture;
        CHECK(fixture.error("[axis." + name + ".points]\nx = []\n") ==
              "w.toml:7:7: axis '" + name +
                  "' has the name of a column of sweep.csv; expected another name");
    }
}

TEST_CASE("sweep points: more than ten thousand are a mistake", "[unit][sweep]") {
    std::string axes;
    for (const char axis : std::string("abcd")) {
        axes += std::string("[axis.") + axis + ".points]\n";
        for (int i = 0; i < 10; ++i) axes += "p" + std::to_string(i) + " = []\n";
    }
    const SweepFixture fixture;
    CHECK(fixture.points(axes).size() == 10000);
    CHECK(fixture.error(axes + "[axis.e.points]\nx = []\ny = []\n") ==
          "w.toml:51:7: the axes up to 'e' make 20000 points; expected at most 10000");
}

TEST_CASE("sweep points: shards share the points out without gap or overlap", "[unit][sweep]") {
    for (const unsigned count : {1u, 2u, 3u, 7u})
        for (std::size_t point = 0; point < 20; ++point) {
            unsigned owners = 0;
            for (unsigned number = 1; number <= count; ++number)
                owners += platform::Shard{number, count}.has(point);
            CHECK(owners == 1);
        }
    CHECK(platform::Shard{2, 3}.has(4));
}

}  // namespace
}  // namespace mmusim::test
