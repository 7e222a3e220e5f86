// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/config/effective_config.hpp"
#include "platform/config/platform_config.hpp"
#include "platform/config/scenario_config.hpp"

namespace mmusim::platform {

/// What to load.
struct ConfigRequest {
    std::string platform_file;
    std::string scenario_file;              ///< empty: only the platform
    std::vector<std::string> settings{};    ///< arguments of --set, in order
    std::vector<std::string> mechanisms{};  ///< flush mechanisms that exist
};

struct LoadedConfig {
    PlatformConfig platform;
    ScenarioConfig scenario;  ///< of no use when no scenario was asked for
    EffectiveConfig effective;
};

/// Reads, merges and checks. Nothing is half-loaded: any mistake throws UserError or ConfigError.
/// One file that is both (what `config show` prints) may be given twice; otherwise a section in the
/// wrong one of the two files is an error.
LoadedConfig load_config(const ConfigRequest& request);

}  // namespace mmusim::platform
