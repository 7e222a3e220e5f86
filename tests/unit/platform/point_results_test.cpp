// SPDX-License-Identifier: Apache-2.0
// When a point of a sweep is finished, and when it has to be run again.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "platform/report/results_json.hpp"
#include "platform/sweep/point_results.hpp"
#include "tests/support/config_fixture.hpp"
#include "tests/support/sample_result.hpp"

namespace mmusim::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kSeed = 7;

struct Point {
    explicit Point(const std::vector<std::string>& settings = {}) : config(fixture.load(settings)) {
        result.oracle.on = true;
    }
    Json json() const { return platform::results_json({config, kSeed, result}); }
    bool finished(const std::string& content, std::uint64_t seed = kSeed) const {
        return platform::finished_results(content, config.effective, seed).has_value();
    }

    ConfigFixture fixture;
    platform::LoadedConfig config;
    platform::RunResult result = sample_result();
};

TEST_CASE("point results: what the same run wrote is finished", "[unit][sweep]") {
    const Point point;
    const auto results =
        platform::finished_results(point.json().dump(2) + '\n', point.config.effective, kSeed);
    REQUIRE(results);
    CHECK((*results)["operations"] == point.json()["operations"]);
    CHECK_FALSE(results->contains("config"));
}

TEST_CASE("point results: nothing and half a file are not finished", "[unit][sweep]") {
    const Point point;
    const std::string whole = point.json().dump(2);
    CHECK_FALSE(point.finished(""));
    CHECK_FALSE(point.finished("[]"));
    CHECK_FALSE(point.finished(whole.substr(0, whole.size() - 2)));
    for (const char* part : {"mmusim", "seed", "config", "operations", "counters", "oracle"}) {
        Json json = point.json();
        json.erase(part);
        INFO(part);
        CHECK_FALSE(point.finished(json.dump()));
    }
}

TEST_CASE("point results: what a report could not read is not finished", "[unit][sweep]") {
    const Point point;
    const auto with = [&](const char* part, const Json& value) {
        Json json = point.json();
        json[part] = value;
        return json.dump();
    };
    CHECK(point.finished(with("counters", {{"flush_rounds", 3}})));
    CHECK_FALSE(point.finished(with("counters", 3)));
    CHECK_FALSE(point.finished(with("counters", {{"flush_rounds", "three"}})));
    CHECK_FALSE(point.finished(with("operations", {1, 2})));
    CHECK_FALSE(point.finished(with("oracle", {{"on", true}})));
    Json oracle = point.json()["oracle"];
    oracle["hazards"] = {{{"id", "HZ14"}}};
    CHECK(point.finished(with("oracle", oracle)));
    for (const Json& hazards : {Json(3), Json{1}, Json{{{"id", 14}}}, Json{{{"count", 1}}}}) {
        oracle["hazards"] = hazards;
        CHECK_FALSE(point.finished(with("oracle", oracle)));
    }
    oracle.erase("hazards");
    CHECK_FALSE(point.finished(with("oracle", oracle)));
    CHECK_FALSE(point.finished(with("config", "none")));
}

TEST_CASE("point results: another version, seed or value is another run", "[unit][sweep]") {
    const Point point;
    CHECK_FALSE(point.finished(point.json().dump(), kSeed + 1));
    Json json = point.json();
    json["mmusim"] = "0.0.1";
    CHECK_FALSE(point.finished(json.dump()));
    for (const std::string setting : {"kernel.swap_cluster_max=8", "process.main.threads=2",
                                      "coherence.hop.ns=79", "scenario.description=x"})
        CHECK_FALSE(point.finished(Point({setting}).json().dump()));
}

TEST_CASE("point results: where a value was written does not matter", "[unit][sweep]") {
    const Point point;
    const Point same({"kernel.swap_cluster_max=32"});
    CHECK(point.json()["config"] != same.json()["config"]);
    CHECK(point.finished(same.json().dump()));
}

TEST_CASE("point results: a run that was stopped or not checked is not finished", "[unit][sweep]") {
    Point point;
    point.result.stopped = true;
    CHECK_FALSE(point.finished(point.json().dump()));
    point.result.stopped = false;
    CHECK(point.finished(point.json().dump()));
    point.result.oracle.on = false;
    CHECK_FALSE(point.finished(point.json().dump()));
}

}  // namespace
}  // namespace mmusim::test
