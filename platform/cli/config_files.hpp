// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace mmusim::platform {

/// The kinds of configuration that have a folder of shipped files.
enum class ConfigKind { kPlatform, kScenario, kSweep };

/// A shipped file.
struct ConfigFile {
    std::string name;  ///< of the file, without ".toml"
    std::string path;
};

/// The shipped files of the source tree that the program was built from, or else of the
/// installation, by name.
std::vector<ConfigFile> shipped_configs(ConfigKind kind);

/// The file that an argument means: a path, or the name of a shipped file. A path is not checked;
/// throws UserError for a name that no file has.
std::string find_config(ConfigKind kind, const std::string& argument);

/// Names of the flush mechanisms that a platform can ask for.
std::vector<std::string> mechanism_names();

}  // namespace mmusim::platform
