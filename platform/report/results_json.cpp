// SPDX-License-Identifier: Apache-2.0
#include "platform/report/results_json.hpp"

#include <nlohmann/json.hpp>

#include "platform/config/config_show.hpp"
#include "platform/report/latency_stats.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {
namespace {

using Json = nlohmann::ordered_json;

/// Fifteen digits survive the way through a double and its shortest notation unchanged.
constexpr std::uint64_t kExactBelow = 1'000'000'000'000'000;

Json ns(rmap::Duration time) {
    MMUSIM_CHECK(time.ps < kExactBelow, "a time of 1000 s or more cannot be written exactly");
    return static_cast<double>(time.ps) / 1000;
}

Json operation_json(const OperationStats& operation) {
    const LatencyStats stats = latency_stats(operation);
    Json parts = Json::object();
    for (std::size_t i = 0; i < rmap::kPartCount; ++i) {
        const auto time = operation.parts.by_part[i];
        if (time.ps) parts[std::string(rmap::kPartTable[i].name)] = ns(time);
    }
    return {{"name", rmap::name(operation.kind)},
            {"count", stats.count},
            {"pages", operation.pages},
            {"abandoned", operation.abandoned},
            {"latency_ns",
             {{"sum", ns(stats.sum)},
              {"mean", ns(stats.mean)},
              {"p50", ns(stats.p50)},
              {"p90", ns(stats.p90)},
              {"p99", ns(stats.p99)},
              {"max", ns(stats.max)}}},
            {"parts_ns", parts}};
}

Json tlb_json(const TlbStatsRow& row) {
    return {{"name", row.name},
            {"lookups", row.lookups},
            {"hits", row.hits},
            {"misses", row.misses},
            {"invalidated", row.invalidated}};
}

Json violation_json(const Violation& violation) {
    return {{"rule", violation.rule},
            {"time_ns", ns({violation.time.ps})},
            {"agent", violation.agent},
            {"translation", violation.translation},
            {"entry_age_ns", ns(violation.entry_age)},
            {"operation", violation.operation_name},
            {"missing", violation.missing},
            {"window_ns", ns(violation.window)}};
}

Json hazard_json(const HazardVerdict& hazard) {
    Json json = {
        {"id", hazard.id},
        {"count", hazard.count},
        {"window_ns", {{"sum", ns(hazard.total_window)}, {"max", ns(hazard.longest_window)}}},
        {"wrong_uses", hazard.wrong_uses}};
    if (hazard.count > 0)
        json["first"] = {{"time_ns", ns({hazard.first.time.ps})},
                         {"agent", hazard.first.agent},
                         {"translation", hazard.first.translation},
                         {"operation", hazard.first.operation_name},
                         {"what", hazard.first.what},
                         {"window_ns", ns(hazard.first.window)}};
    if (hazard.wrong_uses > 0) json["first_wrong_use"] = violation_json(hazard.first_wrong_use);
    return json;
}

template <class Items, class ToJson>
Json array_json(const Items& items, ToJson&& to_json) {
    Json array = Json::array();
    for (const auto& item : items) array.push_back(to_json(item));
    return array;
}

/// Of an exact run only that it is: any exact quantum gives the same bytes.
Json quantum_json(const QuantumReport& quantum) {
    Json json = {{"automatic_ns", ns(quantum.automatic)}, {"exact", quantum.late_effects == 0}};
    if (quantum.late_effects == 0) return json;
    json["requested_ns"] = ns(quantum.requested.value_or(quantum.automatic));
    json["late_effects"] = quantum.late_effects;
    json["worst_lateness_ns"] = ns(quantum.worst_lateness);
    json["bound_ns"] = ns(quantum.bound);
    return json;
}

}  // namespace

Json oracle_json(const OracleReport& oracle) {
    const auto rule_json = [](const RuleVerdict& rule) -> Json {
        return {{"id", rule.id}, {"judged", rule.judged}, {"violated", rule.violated}};
    };
    return {{"on", oracle.on},
            {"checked", oracle.checked},
            {"rules", array_json(oracle.rules, rule_json)},
            {"violations_found", oracle.violations_found},
            {"violations", array_json(oracle.violations, violation_json)},
            {"hazards", array_json(oracle.hazards, hazard_json)}};
}

Json results_json(const FinishedRun& run) {
    const RunResult& result = run.result;
    Json json;
    json["mmusim"] = MMUSIM_VERSION;
    json["platform"] = run.config.platform.name;
    json["scenario"] = run.config.scenario.name;
    json["seed"] = run.seed;
    json["simulated_ns"] = ns(result.simulated);
    if (result.stopped) json["stopped"] = true;
    json["config"] = config_json(run.config.effective);
    json["quantum"] = quantum_json(result.quantum);
    json["operations"] = array_json(result.operations, operation_json);
    json["counters"] = result.counters;
    json["tlbs"] = array_json(result.tlbs, tlb_json);
    json["walks"] = {{"count", result.walks}, {"reads", result.walk_reads}};
    json["memory"] = result.memory;
    json["oracle"] = oracle_json(result.oracle);
    return json;
}

}  // namespace mmusim::platform
