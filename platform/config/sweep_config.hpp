// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/config/config_error.hpp"
#include "rmap/account/accountant.hpp"

namespace mmusim::platform {

/// An argument of --set that may have been written elsewhere than on the command line.
struct PlacedSetting {
    std::string text;  ///< "kernel.swap_cluster_max=8"
    Position key;      ///< of the first character of the key
    Position value;    ///< of the first character behind '='
};

/// One place on an axis.
struct AxisPoint {
    std::string name;  ///< the value as text, or the name given to the settings
    std::vector<PlacedSetting> settings;
};

/// What a sweep varies.
struct SweepAxis {
    std::string name;
    std::string label;  ///< for people, with the unit; the name when nothing else was written
    std::vector<AxisPoint> points;
    Position position;
};

/// A platform and a scenario, run once for every combination of the points of the axes.
struct SweepConfig {
    std::string name;
    std::string description;
    std::string platform_file;  ///< path
    std::string scenario_file;
    rmap::OperationKind operation = rmap::OperationKind::kUnmap;  ///< whose latency is reported
    Position operation_position;
    std::vector<PlacedSetting> settings;  ///< of all points
    std::vector<SweepAxis> axes;          ///< in the order of the file
};

}  // namespace mmusim::platform
