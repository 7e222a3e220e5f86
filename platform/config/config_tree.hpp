// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "platform/config/config_node.hpp"

namespace mmusim::platform {

/// A configuration file merged onto everything it extends: `extends` names one file or several,
/// relative to the file that says so; the later one wins, the file itself last. Throws ConfigError,
/// for a missing file at the line that names it, and UserError when `path` itself is missing.
ConfigNode read_config_tree(const std::string& path);

/// The path of a file that another one names at `position`, relative to that one. Throws
/// ConfigError when there is no such file.
std::string resolve_file(const std::string& file, const Position& position);

/// Letters, digits, '_' and '-': a key that needs no quotes.
bool is_bare_key(std::string_view name);

/// Whether a key of this name is the number of a quantity: ns or cycles.
bool is_unit(std::string_view name);

/// One `--set a.b.c=value`.
struct Setting {
    struct Segment {
        std::string name;
        Position position;
    };
    std::vector<Segment> path;
    ConfigNode value;
};

/// `number` is 1 for the first --set of the command line.
Setting parse_setting(std::string_view argument, unsigned number);

/// The last word on a key. Setting `x.ns` or `x.cycles` replaces the whole quantity x.
void apply_setting(ConfigNode& tree, const Setting& setting);

}  // namespace mmusim::platform
