// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "platform/config/sweep_config.hpp"
#include "platform/report/text_report.hpp"
#include "platform/sweep/sweep_points.hpp"

namespace mmusim::platform {

/// A sweep whose points are all finished. `results` are their results.json, in the same order.
struct FinishedSweep {
    const SweepConfig& config;
    const std::vector<SweepPoint>& points;
    const std::vector<nlohmann::ordered_json>& results;
    std::uint64_t seed;
};

/// Columns of sweep.csv that an axis cannot be named after.
bool is_measured_column(std::string_view name);

/// sweep.csv: a header, then a line for each point. Values that were not measured are empty. Times
/// are exact, in ns, as in results.json.
std::string sweep_csv(const FinishedSweep& sweep);

/// sweep.json: the axes, and for each point its place, the operation as in results.json and the
/// counters.
nlohmann::ordered_json sweep_json(const FinishedSweep& sweep);

/// A table with a line for each point, without the columns that are equal in all points, which are
/// named above it.
std::string sweep_text(const FinishedSweep& sweep, Colour colour);

/// Violations that the oracle found in a point.
std::uint64_t violations_in(const nlohmann::ordered_json& results);

/// Hazards of the kernel that happened in a point: their ids.
std::vector<std::string> hazards_in(const nlohmann::ordered_json& results);

}  // namespace mmusim::platform
