// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "platform/config/effective_config.hpp"
#include "platform/config/platform_config.hpp"

namespace mmusim::platform {

/// The effective configuration as TOML that reads back to the same one; after each value a comment
/// with its origin, at the end the lookaheads and the exact quantum.
std::string config_toml(const EffectiveConfig& effective, const PlatformConfig& platform);

/// The same as {SECTION: {KEY: {"value", "unit", "ns", "from", "origin"}}}, with the sections
/// nested; keys that say nothing are left out. The same bytes on every machine.
nlohmann::ordered_json config_json(const EffectiveConfig& effective);

/// The lookaheads as {KIND: {"ns", "key", "cores"}}, and "quantum_ns".
nlohmann::ordered_json lookahead_json(const PlatformConfig& platform);

}  // namespace mmusim::platform
