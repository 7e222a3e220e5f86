// SPDX-License-Identifier: Apache-2.0
#include "platform/config/effective_config.hpp"

#include <algorithm>
#include <filesystem>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

const Position& EffectiveConfig::origin(std::string_view section, std::string_view key) const {
    const auto found = std::find_if(leaves.begin(), leaves.end(), [&](const ConfigLeaf& leaf) {
        return leaf.section == section && leaf.key == key;
    });
    MMUSIM_CHECK(found != leaves.end(), std::string(section) + '.' + std::string(key));
    return found->origin;
}

std::string short_origin(const Position& origin) {
    if (origin.file.empty()) return "default";
    if (origin.file == kCommandLine) return kCommandLine;
    const std::filesystem::path path(origin.file);
    return (path.parent_path().filename() / path.filename()).string() + ':' +
           std::to_string(origin.line);
}

}  // namespace mmusim::platform
