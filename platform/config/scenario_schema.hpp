// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "platform/config/config_node.hpp"
#include "platform/config/effective_config.hpp"
#include "platform/config/platform_config.hpp"
#include "platform/config/scenario_config.hpp"

namespace mmusim::platform {

/// The sections that make a scenario.
inline constexpr std::string_view kScenarioSections[] = {"scenario", "process",   "region", "guest",
                                                         "dma",      "operation", "inject"};

/// Turns a tree into a scenario. `file` is the one named on the command line. Adds to `effective`.
/// Throws ConfigError.
ScenarioConfig read_scenario(const ConfigNode& tree, const std::string& file,
                             EffectiveConfig& effective);

/// The name of an operation in a scenario.
std::string_view name_of(OperationType type);

/// What must hold between a scenario's values, and between it and the machine that it runs on.
/// Throws ConfigError, at the value to change.
void check_scenario(const ScenarioConfig& scenario, const PlatformConfig& platform,
                    const EffectiveConfig& effective);

}  // namespace mmusim::platform
