// SPDX-License-Identifier: Apache-2.0
#include "platform/cli/config_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "models/flush/flush_mechanism.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/nearest_name.hpp"

namespace mmusim::platform {
namespace {

namespace fs = std::filesystem;

const char* name_of(ConfigKind kind) {
    switch (kind) {
        case ConfigKind::kPlatform:
            return "platform";
        case ConfigKind::kScenario:
            return "scenario";
        case ConfigKind::kSweep:
            return "sweep";
    }
    return nullptr;
}

fs::path folder_of(ConfigKind kind) {
    const std::string folder = std::string(name_of(kind)) + 's';
    const fs::path source = fs::path(MMUSIM_SOURCE_CONFIGS) / folder;
    std::error_code ignored;
    if (fs::is_directory(source, ignored)) return source;
    return fs::path(MMUSIM_DATA_DIR) / "configs" / folder;
}

}  // namespace

std::vector<ConfigFile> shipped_configs(ConfigKind kind) {
    std::vector<ConfigFile> files;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_of(kind), ignored))
        if (entry.path().extension() == ".toml")
            files.push_back({entry.path().stem().string(), entry.path().string()});
    std::sort(files.begin(), files.end(),
              [](const ConfigFile& a, const ConfigFile& b) { return a.name < b.name; });
    return files;
}

std::string find_config(ConfigKind kind, const std::string& argument) {
    const fs::path path(argument);
    std::error_code ignored;
    if (path.has_parent_path() || path.extension() == ".toml" || fs::is_regular_file(path, ignored))
        return argument;
    std::vector<std::string> names;
    for (const auto& file : shipped_configs(kind)) {
        if (file.name == argument) return file.path;
        names.push_back(file.name);
    }
    throw UserError(fmt::format("no {} is called '{}'; {}", name_of(kind), argument,
                                nearest_hint(argument, names)));
}

std::vector<std::string> mechanism_names() {
    std::vector<std::string> names;
    for (const auto& row : models::flush_mechanisms()) names.emplace_back(row.name);
    return names;
}

}  // namespace mmusim::platform
