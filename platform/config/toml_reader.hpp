// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "platform/config/config_node.hpp"

namespace mmusim::platform {

// The only place that knows TOML.

/// The content of one file, without what it extends. Throws ConfigError for what is not TOML, and
/// std::system_error for a file that cannot be read.
ConfigNode parse_toml_file(const std::string& path);

/// A value from the command line: a TOML value, or a bare word, which is a string.
ConfigNode parse_toml_value(std::string_view text, const Position& position);

/// A value in TOML, on one line.
std::string toml_text(const ConfigNode& node);

}  // namespace mmusim::platform
