// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "platform/config/load_config.hpp"

namespace mmusim::platform {

/// The content of a results.json, when a run with this configuration and seed would write the same:
/// it is whole, and was made by this version from the same values to the end of the run. Where a
/// value was written does not matter. Without "config" and "tlbs", which are most of it. Otherwise
/// nothing: the point has to be run.
std::optional<nlohmann::ordered_json> finished_results(std::string_view content,
                                                       const EffectiveConfig& effective,
                                                       std::uint64_t seed);

}  // namespace mmusim::platform
