// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "platform/config/sweep_config.hpp"

namespace mmusim::platform {

/// Reads a sweep with everything it extends. What the settings say to platform and scenario is not
/// looked at. Throws ConfigError, and UserError when `path` itself is missing.
SweepConfig read_sweep(const std::string& path);

/// The n-th --set of the command line, counted from 1.
PlacedSetting command_line_setting(const std::string& argument, unsigned number);

}  // namespace mmusim::platform
