// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/config/load_config.hpp"
#include "platform/config/sweep_config.hpp"

namespace mmusim::platform {

/// One run of a sweep.
struct SweepPoint {
    /// "list_size=8,kind=file": different for every point, and the name of a folder. What a file
    /// name should not have is written as %XX.
    std::string name;
    std::vector<std::string> values;      ///< name of the point on each axis
    std::vector<PlacedSetting> settings;  ///< of the sweep, the command line and the axes, in order
};

/// The product of the axes, the first one varying fastest. `command_line` are the arguments of
/// --set. Throws ConfigError when an axis sets a key that something else sets, or is called like a
/// column of the results, and when there are more than 10000 points.
std::vector<SweepPoint> sweep_points(const SweepConfig& sweep,
                                     const std::vector<std::string>& command_line);

/// Loads and checks what a point runs. An error in a setting is reported where the setting is
/// written, and every error names the point. Throws UserError.
LoadedConfig load_point(const SweepConfig& sweep, const SweepPoint& point,
                        const std::vector<std::string>& mechanisms);

/// The part of a sweep that one of several tasks runs: every count-th point from the number-th on.
struct Shard {
    unsigned number = 1;  ///< from 1 to count
    unsigned count = 1;

    bool has(std::size_t point) const { return point % count == number - 1; }
};

}  // namespace mmusim::platform
