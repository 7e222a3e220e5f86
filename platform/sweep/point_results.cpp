// SPDX-License-Identifier: Apache-2.0
#include "platform/sweep/point_results.hpp"

#include <algorithm>

#include "platform/config/config_show.hpp"

namespace mmusim::platform {
namespace {

using Json = nlohmann::ordered_json;

/// Without the places and reasons of the values. A key of a section holds a value beside them.
void keep_values(Json& section) {
    if (!section.is_object()) return;
    if (section.contains("value") && section.contains("origin")) {
        section.erase("origin");
        section.erase("from");
        return;
    }
    for (auto& entry : section) keep_values(entry);
}

bool has(const Json& results, const char* key, const Json& value) {
    const auto found = results.find(key);
    return found != results.end() && *found == value;
}

bool is_list_of_hazards(const Json& hazards) {
    return hazards.is_array() &&
           std::all_of(hazards.begin(), hazards.end(), [](const Json& hazard) {
               return hazard.is_object() && hazard.contains("id") && hazard["id"].is_string();
           });
}

/// Whether everything is there that a report of the sweep reads.
bool is_whole(const Json& results) {
    for (const char* part : {"config", "operations", "counters", "oracle"})
        if (!results.contains(part)) return false;
    const Json& operations = results["operations"];
    const Json& counters = results["counters"];
    const Json& oracle = results["oracle"];
    return results["config"].is_object() && operations.is_array() &&
           std::all_of(operations.begin(), operations.end(),
                       [](const Json& operation) { return operation.is_object(); }) &&
           counters.is_object() &&
           std::all_of(counters.begin(), counters.end(),
                       [](const Json& counter) { return counter.is_number(); }) &&
           oracle.is_object() && oracle.contains("violations_found") &&
           oracle["violations_found"].is_number() && oracle.contains("hazards") &&
           is_list_of_hazards(oracle["hazards"]);
}

}  // namespace

std::optional<Json> finished_results(std::string_view content, const EffectiveConfig& effective,
                                     std::uint64_t seed) {
    Json results = Json::parse(content, nullptr, false);
    if (!results.is_object() || results.contains("stopped")) return std::nullopt;
    if (!has(results, "mmusim", MMUSIM_VERSION) || !has(results, "seed", seed)) return std::nullopt;
    if (!is_whole(results) || !has(results["oracle"], "on", true)) return std::nullopt;

    Json made_with = results["config"];
    Json wanted = config_json(effective);
    keep_values(made_with);
    keep_values(wanted);
    if (made_with != wanted) return std::nullopt;
    for (const char* part : {"config", "tlbs"}) results.erase(part);
    return results;
}

}  // namespace mmusim::platform
