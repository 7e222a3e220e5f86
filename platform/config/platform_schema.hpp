// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "platform/config/config_node.hpp"
#include "platform/config/effective_config.hpp"
#include "platform/config/platform_config.hpp"

namespace mmusim::platform {

/// The sections that make a machine; all others make a scenario.
inline constexpr std::string_view kPlatformSections[] = {
    "platform", "topology",       "tlb", "walker", "invalidate", "coherence", "interrupt", "flush",
    "kernel",   "virtualization", "vm",  "iommu",  "device"};

/// Kernel versions that the engine can follow.
std::vector<std::string> kernel_profiles();

/// Turns a tree into a machine. `file` is the one named on the command line; `mechanisms` are the
/// flush mechanisms that exist. Adds to `effective`. Throws ConfigError.
PlatformConfig read_platform(const ConfigNode& tree, const std::string& file,
                             const std::vector<std::string>& mechanisms,
                             EffectiveConfig& effective);

/// What must hold between the values of a machine. Throws ConfigError, at the value to change.
void check_platform(const PlatformConfig& platform, const EffectiveConfig& effective);

}  // namespace mmusim::platform
