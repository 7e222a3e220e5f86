// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "platform/report/results_json.hpp"
#include "platform/sweep/sweep_table.hpp"
#include "rmap/types/part.hpp"
#include "tests/support/sample_result.hpp"
#include "tests/support/sweep_fixture.hpp"

namespace mmusim::test {
namespace {

using Json = nlohmann::ordered_json;
using Catch::Contains;

/// Two points; the second one finished no unmap and has a violation.
struct Finished {
    Finished() {
        platform::RunResult result = sample_result();
        result.oracle.on = true;
        result.counters["flush_rounds"] = 2;
        results.push_back(json(result));
        result.operations.pop_back();
        result.oracle.violations_found = 3;
        results.push_back(json(result));
    }
    Json json(const platform::RunResult& result) const {
        const auto config = platform::load_point(sweep, points[0], {"ipi"});
        return platform::results_json({config, 5, result});
    }
    platform::FinishedSweep finished() const { return {sweep, points, results, 5}; }

    SweepFixture fixture;
    platform::SweepConfig sweep = fixture.read(
        "[axis.note]\nlabel = \"a note\"\nkey = \"scenario.description\"\nvalues = [\"one, "
        "\\\"two\\\"\", \"x\"]\n[axis.m.points]\nonly = []\n");
    std::vector<platform::SweepPoint> points = platform::sweep_points(sweep, {});
    std::vector<Json> results;
};

/// Cells of a line without quoted ones.
std::vector<std::string> cells(const std::string& line) {
    std::vector<std::string> result;
    std::stringstream stream(line + ',');
    for (std::string cell; std::getline(stream, cell, ',');) result.push_back(cell);
    return result;
}

std::map<std::string, std::string> row(const std::string& csv, const std::string& point) {
    const std::string header = csv.substr(0, csv.find('\n'));
    const auto begin = csv.find('\n' + point) + 1;
    const std::string line = csv.substr(begin, csv.find('\n', begin) - begin);
    const auto names = cells(header);
    auto values = cells(line.substr(point.size()));
    std::map<std::string, std::string> result;
    REQUIRE(names.size() == values.size());
    for (std::size_t i = 0; i < names.size(); ++i) result[names[i]] = values[i];
    return result;
}

TEST_CASE("sweep csv: every value of a point is as exact as in its results", "[unit][sweep]") {
    Finished all;
    // Without the quotes the line can be taken apart with commas only.
    all.points[0].values[0] = "plain";
    all.points[0].name = "first";
    const std::string csv = sweep_csv(all.finished());
    auto first = row(csv, "first");
    CHECK(first["note"] == "plain");
    CHECK(first["m"] == "only");
    CHECK(first["operations"] == "7");
    CHECK(first["pages"] == "7");
    CHECK(first["abandoned"] == "3");
    CHECK(first["mean_ns"] == "4.0");
    CHECK(first["p50_ns"] == "4.0");
    CHECK(first["p99_ns"] == "7.0");
    CHECK(first["max_ns"] == "7.0");
    CHECK(first["sum_ns"] == "28.001");
    CHECK(first["ns_per_page"] == "4.0");
    CHECK(first["flush_rounds"] == "2");
    CHECK(std::stod(first["flush_rounds_per_page"]) == Approx(2.0 / 7));
    CHECK(first["violations"] == "0");
    CHECK(first["part_rmap_walk_ns"] == "9.333");
    CHECK(first["part_idle_ns"] == "0.0");
    CHECK(first["counter_flush_ipi_sent"] == "1234");
    CHECK(first.count("counter_flush_rounds") == 0);
    double parts = 0;
    for (const auto& part : rmap::kPartTable)
        parts += std::stod(first["part_" + std::string(part.name) + "_ns"]);
    CHECK(parts == Approx(28.001));
}

TEST_CASE("sweep csv: time per page is rounded to the nearest picosecond", "[unit][sweep]") {
    Finished all;
    all.points[0].values[0] = "plain";
    all.points[0].name = "first";
    for (const auto& [pages, time] : {std::pair{3, "9.334"}, std::pair{2, "14.001"}}) {
        all.results[0]["operations"][1]["pages"] = pages;
        CHECK(row(sweep_csv(all.finished()), "first")["ns_per_page"] == time);
    }
}

TEST_CASE("sweep csv: what was not measured is empty and counters are there", "[unit][sweep]") {
    const Finished all;
    auto second = row(sweep_csv(all.finished()), "\"note=x,m=only\"");
    CHECK(second["note"] == "x");
    for (const char* name :
         {"operations", "pages", "p50_ns", "ns_per_page", "flush_rounds_per_page", "part_ack_ns"})
        CHECK(second[name].empty());
    CHECK(second["flush_rounds"] == "2");
    CHECK(second["violations"] == "3");
    CHECK(second["counter_flush_ipi_sent"] == "1234");
}

TEST_CASE("sweep csv: commas and quotes are quoted", "[unit][sweep]") {
    const Finished all;
    CHECK_THAT(sweep_csv(all.finished()),
               Contains("\n\"note=one%2C%20%22two%22,m=only\",\"one, \"\"two\"\"\",only,7,"));
}

TEST_CASE("sweep json: axes and points", "[unit][sweep]") {
    const Finished all;
    const Json json = sweep_json(all.finished());
    CHECK(json["sweep"] == "test");
    CHECK(json["scenario"] == "reclaim-anon");
    CHECK(json["seed"] == 5);
    CHECK(json["operation"] == "unmap");
    CHECK(json["axes"][0]["label"] == "a note");
    CHECK(json["axes"][0]["points"] == Json({"one, \"two\"", "x"}));
    CHECK(json["points"][0]["at"]["note"] == "one, \"two\"");
    CHECK(json["points"][0]["operation"] == all.results[0]["operations"][1]);
    CHECK(json["points"][1]["operation"].is_null());
    CHECK(json["points"][1]["ns_per_page"].is_null());
    CHECK(json["points"][1]["violations"] == 3);
}

TEST_CASE("sweep text: equal columns are named once above the table", "[unit][sweep]") {
    const Finished all;
    const std::string text = sweep_text(all.finished(), platform::Colour::kOff);
    CHECK_THAT(text, Catch::StartsWith("test: unmap of reclaim-anon on skylake-sp-2s\n") &&
                         Contains("\nIn all points: m only, flush rounds 2\n") &&
                         Contains("  note  operations  pages ") && Contains("  0.004  ") &&
                         Contains("  x           -      -") &&
                         Catch::EndsWith("\nUNSAFE: 1 of 2 points\n"));
    std::stringstream lines(text);
    for (std::string line; std::getline(lines, line);) CHECK((line.empty() || line.back() != ' '));
}

TEST_CASE("sweep text: one violation in one point is UNSAFE", "[unit][sweep]") {
    Finished all;
    auto& found = all.results[1]["oracle"]["violations_found"];
    found = 1;
    CHECK_THAT(sweep_text(all.finished(), platform::Colour::kOff),
               Catch::EndsWith("\nUNSAFE: 1 of 2 points\n"));
    found = 0;
    CHECK_THAT(sweep_text(all.finished(), platform::Colour::kOff),
               Catch::EndsWith("\nsafe: no violation in 2 points\n"));
}

TEST_CASE("sweep text: a time is rounded to the nearest nanosecond", "[unit][sweep]") {
    Finished all;
    for (const auto& [ns, us] : {std::pair{8.499, " 0.008 "}, std::pair{8.5, " 0.009 "}}) {
        all.results[0]["operations"][1]["latency_ns"]["max"] = ns;
        CHECK_THAT(sweep_text(all.finished(), platform::Colour::kOff), Contains(us));
    }
}

TEST_CASE("sweep text: the rows of one line of the figure are a block", "[unit][sweep]") {
    const SweepFixture fixture;
    const auto sweep = fixture.read(
        "[axis.n]\nkey = \"kernel.swap_cluster_max\"\nvalues = [1, 2]\n"
        "[axis.m.points]\na = []\nb = []\n");
    const auto points = platform::sweep_points(sweep, {});
    platform::RunResult result = sample_result();
    const std::vector<Json> results(
        4, platform::results_json({platform::load_point(sweep, points[0], {"ipi"}), 1, result}));
    const std::string text = sweep_text({sweep, points, results, 1}, platform::Colour::kOff);
    CHECK_THAT(text,
               Contains("\n  1  a\n  2  a\n\n  1  b\n  2  b\n\nsafe: no violation in 4 points\n"));
}

}  // namespace
}  // namespace mmusim::test
