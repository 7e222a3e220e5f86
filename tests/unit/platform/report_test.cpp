// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "platform/report/latency_stats.hpp"
#include "platform/report/results_json.hpp"
#include "platform/report/text_report.hpp"
#include "platform/report/text_units.hpp"
#include "rmap/types/check.hpp"
#include "tests/support/config_fixture.hpp"
#include "tests/support/sample_result.hpp"

namespace mmusim::test {
namespace {

using platform::Colour;
using platform::LoadedConfig;
using platform::RunResult;

LoadedConfig sample_config() {
    return ConfigFixture::load_files(shipped("platforms/capture-vm"),
                                     shipped("scenarios/reclaim-anon"));
}

std::string text_of(const RunResult& result) {
    const LoadedConfig config = sample_config();
    return platform::text_report({config, 1, result}, Colour::kOff);
}

nlohmann::ordered_json json_of(const RunResult& result) {
    const LoadedConfig config = sample_config();
    return platform::results_json({config, 1, result});
}

/// The digits of a JSON number as picoseconds, without going through a double.
std::uint64_t picoseconds_in(const std::string& number) {
    const std::size_t point = number.find('.');
    const std::string fraction = point == std::string::npos ? "" : number.substr(point + 1);
    REQUIRE(fraction.size() <= 3);
    REQUIRE(number.find('e') == std::string::npos);
    return std::stoull(number.substr(0, point)) * 1000 +
           std::stoull((fraction + "000").substr(0, 3));
}

TEST_CASE("latency stats: percentiles are the nearest ranks", "[unit][report]") {
    platform::OperationStats operation;
    for (std::uint64_t i = 100; i >= 1; --i) operation.latency_ps.push_back(i * 10);
    operation.parts[rmap::Part::kFree] = {50'500};
    const auto stats = platform::latency_stats(operation);
    CHECK(stats.count == 100);
    CHECK(stats.sum.ps == 50'500);
    CHECK(stats.mean.ps == 505);
    CHECK(stats.p50.ps == 500);
    CHECK(stats.p90.ps == 900);
    CHECK(stats.p99.ps == 990);
    CHECK(stats.max.ps == 1000);
    operation.latency_ps = {7};
    operation.parts[rmap::Part::kFree] = {7};
    CHECK(platform::latency_stats(operation).p50.ps == 7);
    CHECK(platform::latency_stats(operation).p99.ps == 7);
    operation.latency_ps.clear();
    operation.parts[rmap::Part::kFree] = {};
    CHECK(platform::latency_stats(operation).max.ps == 0);
}

TEST_CASE("latency stats: parts that do not add up are an internal error", "[unit][report]") {
    platform::OperationStats operation;
    operation.latency_ps = {1000};
    operation.parts[rmap::Part::kFree] = {999};
    CHECK_THROWS_AS(platform::latency_stats(operation), rmap::InvariantError);
}

TEST_CASE("apportion: rounded values add up to the rounded sum", "[unit][report]") {
    using Values = std::vector<std::uint64_t>;
    CHECK(platform::apportion({1, 1, 1}, 1000, 3) == Values{334, 333, 333});
    CHECK(platform::apportion({1, 2, 4}, 1000, 7) == Values{143, 286, 571});
    CHECK(platform::apportion({50, 49, 1}, 1, 100) == Values{1, 0, 0});
    CHECK(platform::apportion({}, 1000, 7).empty());
    const std::uint64_t big = 900'000'000'000'000;
    CHECK(platform::apportion({big, big}, 1000, 2 * big) == Values{500, 500});
}

TEST_CASE("results file: names and order are those of the contract", "[unit][report]") {
    const auto json = json_of(sample_result());
    std::vector<std::string> keys;
    for (const auto& item : json.items()) keys.push_back(item.key());
    CHECK(keys == std::vector<std::string>{"mmusim", "platform", "scenario", "seed", "simulated_ns",
                                           "config", "quantum", "operations", "counters", "tlbs",
                                           "walks", "memory", "oracle"});
    CHECK(json["simulated_ns"] == 12345678.901);
    const auto& unmap = json["operations"][1];
    CHECK(unmap["name"] == "unmap");
    CHECK(unmap["count"] == 7);
    CHECK(unmap["abandoned"] == 3);
    CHECK(unmap["latency_ns"]["p50"] == 4.0);
    CHECK(unmap["latency_ns"]["max"] == 7.0);
    CHECK(unmap["latency_ns"]["mean"] == 4.0);
    CHECK(unmap["parts_ns"].size() == 3);
    CHECK(json["walks"]["reads"] == 200);
    CHECK(json["memory"]["main"]["VmRSS_kb"] == 2048);
    CHECK(json["tlbs"][0]["name"] == "core0.l1_tlb");
    CHECK(json["oracle"]["rules"][0]["judged"] == 12);
}

TEST_CASE("results file: the decimals of the parts add up to that of the sum", "[unit][report]") {
    RunResult result = sample_result();
    // Values whose doubles are not exact, up to 15 digits.
    platform::OperationStats& operation = result.operations[0];
    operation.latency_ps.clear();
    std::uint64_t seed = 1;
    rmap::Duration sum;
    for (auto& part : operation.parts.by_part) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        part = {(seed >> 32) % 30'000'000'000'000u};
        sum += part;
    }
    operation.latency_ps = {sum.ps};
    const auto json = json_of(result);
    std::uint64_t parts = 0;
    for (const auto& part : json["operations"][0]["parts_ns"]) parts += picoseconds_in(part.dump());
    CHECK(parts == sum.ps);
    CHECK(picoseconds_in(json["operations"][0]["latency_ns"]["sum"].dump()) == sum.ps);
}

TEST_CASE("results file: a time too long to be exact is refused", "[unit][report]") {
    RunResult result = sample_result();
    result.simulated = {1'000'000'000'000'000};
    CHECK_THROWS_AS(json_of(result), rmap::InvariantError);
}

TEST_CASE("results file: every exact quantum gives the same bytes", "[unit][report]") {
    const RunResult automatic = sample_result();
    RunResult small = sample_result();
    small.quantum.requested = rmap::nanoseconds(1);
    RunResult large = sample_result();
    large.quantum.requested = rmap::nanoseconds(100);
    large.quantum.bound = rmap::nanoseconds(76);
    CHECK(json_of(automatic).dump() == json_of(small).dump());
    CHECK(json_of(automatic).dump() == json_of(large).dump());
    large.quantum.late_effects = 2;
    large.quantum.worst_lateness = rmap::nanoseconds(42);
    const auto json = json_of(large);
    CHECK(json["quantum"]["exact"] == false);
    CHECK(json["quantum"]["requested_ns"] == 100.0);
    CHECK(json["quantum"]["worst_lateness_ns"] == 42.0);
}

TEST_CASE("results file: a violation has all its names", "[unit][report]") {
    RunResult result = sample_result();
    result.oracle.violations = {sample_violation()};
    result.oracle.violations_found = 1;
    const auto violation = json_of(result)["oracle"]["violations"][0];
    CHECK(violation["rule"] == "stale-translation");
    CHECK(violation["time_ns"] == 123456.789);
    CHECK(violation["agent"] == "core3.l1_tlb");
    CHECK(violation["entry_age_ns"] == 1.5);
    CHECK(violation["operation"] == "unmap 0.17 in shrink_page_list 0.3");
    CHECK(violation["missing"] == "batch flush of mm 2 on cpu 3");
    CHECK(violation["window_ns"] == 345.0);
}

TEST_CASE("printed report: shares add up to what the last line says", "[unit][report]") {
    const std::string text = text_of(sample_result());
    INFO(text);
    CHECK_THAT(text, Catch::Contains("unmap                     share    ns each\n"
                                     "  ipi_delivery           33.4 %        1.4  interrupt on its "
                                     "way to the target that finishes last\n"));
    CHECK_THAT(text, Catch::Contains("  ack                    33.3 %        1.3  "));
    CHECK_THAT(text, Catch::Contains("  rmap_walk              33.3 %        1.3  "));
    CHECK_THAT(text, Catch::Contains("  sum                   100.0 %        4.0\n"));
    CHECK_THAT(text, Catch::Contains("shrink_page_list          share    us each  = 4.286 us per "
                                     "page of 7 pages\n"));
    CHECK_THAT(text, Catch::Contains("  sum                   100.0 %      15.00\n"));
}

TEST_CASE("printed report: fits 100 columns and never says other", "[unit][report]") {
    RunResult result = sample_result();
    auto& operation = result.operations[1];
    rmap::Duration sum;
    for (auto& part : operation.parts.by_part) sum += part = {999'999'999'999};
    operation.latency_ps = {sum.ps};
    std::istringstream lines(text_of(result));
    for (std::string line; std::getline(lines, line);) {
        CHECK(line.size() <= 100);
        CHECK_FALSE(line.compare(0, 8, "  other ") == 0);
        CHECK((line.empty() || line.back() != ' '));
    }
}

TEST_CASE("printed report: counters and rules and verdict", "[unit][report]") {
    const std::string text = text_of(sample_result());
    INFO(text);
    CHECK_THAT(text, Catch::StartsWith("reclaim-anon on capture-vm\n"));
    CHECK_THAT(text, Catch::Contains("  IPIs sent               1,234  "));
    CHECK_THAT(text, Catch::Contains("  full                        3  "));
    CHECK_THAT(text, Catch::Contains("  l1_tlb                      2,000      95.0 %"));
    CHECK_THAT(text, Catch::Contains(" 12 judged, 0 violated\n"));
    CHECK_THAT(
        text, Catch::Contains(
                  "\n       hits compared with a walk                    34 judged, 0 violated\n"));
    CHECK_THAT(text, Catch::Contains("3 more were given up, and are not in this row\n"));
    CHECK_THAT(text, Catch::Contains("  quantum: automatic, 24 ns: exact\n"));
    CHECK_THAT(text, Catch::EndsWith("\nsafe: no violation\n"));
    CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("printed report: a violation is a block that names everything", "[unit][report]") {
    RunResult result = sample_result();
    result.oracle.violations.assign(12, sample_violation());
    result.oracle.violations_found = 2000;
    const std::string text = text_of(result);
    INFO(text);
    CHECK_THAT(text,
               Catch::Contains("  1. stale-translation at 123456.789 ns\n"
                               "     agent        core3.l1_tlb\n"
                               "     translation  mm 2 va 0x100000003000 -> pfn 0x1a2b gen 4\n"
                               "     held for     1.5 ns\n"
                               "     operation    unmap 0.17 in shrink_page_list 0.3\n"
                               "     missing      batch flush of mm 2 on cpu 3\n"
                               "     window       345 ns\n"));
    CHECK_THAT(text, Catch::Contains("  ... and 1,990 more; the first 12 are in results.json\n"));
    CHECK_THAT(text, Catch::EndsWith("\nUNSAFE: 2,000 violations\n"));
}

TEST_CASE("printed report: memory has a column for each process and the kernel's order of lines",
          "[unit][report]") {
    const std::string text = text_of(sample_result());
    CHECK_THAT(text, Catch::Contains("\nMEMORY, kB                child       main\n"
                                     "  VmPeak                      0      4,096\n"
                                     "  VmRSS                     512      2,048\n"
                                     "\nVM EVENTS of groups       child       main\n"
                                     "  pgfault                     7          7\n\n"));
}

TEST_CASE("printed report: seven processes have room beside each other", "[unit][report]") {
    RunResult result = sample_result();
    for (unsigned n = 2; n < 10; ++n) result.memory["p" + std::to_string(n)] = {{"VmRSS_kb", n}};
    CHECK_THAT(
        text_of(result),
        Catch::Contains("child       main         p2         p3         p4         p5         "
                        "p6\n") &&
            Catch::Contains("\n  and 3 more processes\n"));
}

platform::HazardVerdict sample_hazard() {
    platform::HazardVerdict hazard;
    hazard.id = "HZ14";
    hazard.count = 5120;
    hazard.total_window = rmap::nanoseconds(37'200);
    hazard.longest_window = rmap::nanoseconds(12);
    hazard.first = {{1'200'000},         "core2", 0, "unmap 0.17", "on its own initiator", "",
                    rmap::nanoseconds(7)};
    return hazard;
}

platform::HazardVerdict harmful_hazard() {
    platform::HazardVerdict hazard;
    hazard.id = "HZ7";
    hazard.count = 4;
    hazard.first.time = {1'500'000'000};
    hazard.wrong_uses = 27;
    hazard.first_wrong_use = sample_violation();
    return hazard;
}

TEST_CASE("results file: hazards stand beside the violations", "[unit][report]") {
    RunResult result = sample_result();
    CHECK(json_of(result)["oracle"]["hazards"] == nlohmann::ordered_json::array());
    result.oracle.hazards = {harmful_hazard(), sample_hazard()};
    const auto json = json_of(result)["oracle"];
    CHECK(json["violations_found"] == 0);
    const auto& harmful = json["hazards"][0];
    CHECK(harmful["id"] == "HZ7");
    CHECK(harmful["wrong_uses"] == 27);
    CHECK(harmful["first_wrong_use"]["rule"] == "stale-translation");
    CHECK(harmful["first_wrong_use"]["window_ns"] == 345.0);
    const auto& harmless = json["hazards"][1];
    CHECK(harmless["count"] == 5120);
    CHECK(harmless["window_ns"]["sum"] == 37200.0);
    CHECK(harmless["window_ns"]["max"] == 12.0);
    CHECK(harmless["first"]["time_ns"] == 1200.0);
    CHECK(harmless["first"]["agent"] == "core2");
    CHECK(harmless["first"]["operation"] == "unmap 0.17");
    CHECK(harmless["first"]["what"] == "on its own initiator");
    CHECK(harmless["first"]["window_ns"] == 7.0);
    CHECK(harmless["wrong_uses"] == 0);
    CHECK_FALSE(harmless.contains("first_wrong_use"));
}

TEST_CASE("printed report: a hazard is a line, and a block where it did harm", "[unit][report]") {
    RunResult result = sample_result();
    CHECK(text_of(result).find("HAZARDS") == std::string::npos);
    result.oracle.hazards = {sample_hazard()};
    std::string text = text_of(result);
    INFO(text);
    CHECK_THAT(text, Catch::Contains(
                         "\nHAZARDS\n"
                         "  Where the kernel itself breaks a rule (mmusim list hazards); not "
                         "counted as violations.\n"
                         "  HZ14 initiator's own callback                  5,120 times, 37.200 us "
                         "in all, first at 1.200 us\n"
                         "\nTIME\n"));
    CHECK_THAT(text, Catch::EndsWith("\nsafe: no violation; hazards of the kernel itself: HZ14\n"));
    result.oracle.hazards = {harmful_hazard(), sample_hazard()};
    text = text_of(result);
    CHECK_THAT(text,
               Catch::Contains("  HZ7  unaligned IOTLB invalidation                  4 times, "
                               "27 wrong uses, first at 1.500 ms\n"));
    CHECK_THAT(text, Catch::Contains("  HZ7: stale-translation at 123456.789 ns\n"
                                     "     agent        core3.l1_tlb\n"));
    CHECK_THAT(text, Catch::EndsWith("\nno violation, but wrong uses by hazards of the kernel "
                                     "itself: HZ7, HZ14\n"));
}

TEST_CASE("printed report: hazards make a run unsafe only when they are asked to",
          "[unit][report]") {
    const LoadedConfig config = sample_config();
    RunResult result = sample_result();
    const auto strict = [&] {
        return platform::text_report({config, 1, result, platform::HazardsCount::kAsViolations},
                                     Colour::kOff);
    };
    CHECK_THAT(strict(), Catch::EndsWith("\nsafe: no violation\n"));
    result.oracle.hazards = {sample_hazard()};
    CHECK_THAT(strict(),
               Catch::EndsWith("\nUNSAFE: no violation, but hazards of the kernel itself: HZ14\n"));
    CHECK_THAT(strict(), Catch::Contains("; counted as violations.\n"));
    result.oracle.violations = {sample_violation()};
    result.oracle.violations_found = 1;
    CHECK_THAT(strict(), Catch::EndsWith("\nUNSAFE: 1 violation\n"));
}

TEST_CASE("printed report: a quantum beyond the exact one is never called exact",
          "[unit][report]") {
    RunResult result = sample_result();
    result.quantum.requested = rmap::nanoseconds(100);
    CHECK_THAT(text_of(result), Catch::Contains("  quantum: 100 ns (automatic: 24 ns), 0 late "
                                                "effects: exact\n"));
    result.quantum.late_effects = 72;
    result.quantum.worst_lateness = rmap::nanoseconds(42);
    result.quantum.bound = rmap::nanoseconds(76);
    CHECK_THAT(
        text_of(result),
        Catch::Contains("  quantum: 100 ns (automatic: 24 ns), 72 late, worst 42 ns, bound 76 "
                        "ns;\n  results approximate, oracle verdicts not valid\n"));
}

TEST_CASE("printed report: without the oracle there is no verdict", "[unit][report]") {
    RunResult result = sample_result();
    result.oracle = {};
    result.oracle.on = false;
    const std::string text = text_of(result);
    CHECK_THAT(text, Catch::Contains("  not checked (--no-oracle)\n"));
    CHECK(text.find("safe:") == std::string::npos);
}

TEST_CASE("printed report: colours only when asked for", "[unit][report]") {
    const LoadedConfig config = sample_config();
    const RunResult result = sample_result();
    CHECK(platform::text_report({config, 1, result}, Colour::kOn).find("\x1b[") !=
          std::string::npos);
}

TEST_CASE("text units: the unit follows the size", "[unit][report]") {
    CHECK(platform::readable({0}) == "0.0 ns");
    CHECK(platform::readable({1'250}) == "1.3 ns");
    CHECK(platform::readable({999'900}) == "999.9 ns");
    CHECK(platform::readable({1'000'000}) == "1.000 us");
    CHECK(platform::readable({12'345'678'901}) == "12.346 ms");
    CHECK(platform::readable({12'345'000'000'000}) == "12.345 s");
    CHECK(std::string(platform::column_unit({9'999'999}).name) == "ns");
    CHECK(std::string(platform::column_unit({10'000'000}).name) == "us");
    CHECK(std::string(platform::column_unit({10'000'000'000}).name) == "ms");
    CHECK(platform::grouped(0) == "0");
    CHECK(platform::grouped(999) == "999");
    CHECK(platform::grouped(1'234'567) == "1,234,567");
    CHECK(platform::percent_text(1, 0) == "-");
    CHECK(platform::shortened("one two three four", 12) == "one two ...");
}

}  // namespace
}  // namespace mmusim::test
