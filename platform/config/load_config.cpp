// SPDX-License-Identifier: Apache-2.0
#include "platform/config/load_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "platform/config/config_tree.hpp"
#include "platform/config/nearest_name.hpp"
#include "platform/config/platform_schema.hpp"
#include "platform/config/scenario_schema.hpp"

namespace mmusim::platform {
namespace {

enum class TreeKind { kPlatform, kScenario };

template <class Sections>
bool is_one_of(const Sections& sections, std::string_view name) {
    return std::find(std::begin(sections), std::end(sections), name) != std::end(sections);
}

bool belongs_to(TreeKind kind, std::string_view section) {
    return kind == TreeKind::kPlatform ? is_one_of(kPlatformSections, section)
                                       : is_one_of(kScenarioSections, section);
}

TreeKind other(TreeKind kind) {
    return kind == TreeKind::kPlatform ? TreeKind::kScenario : TreeKind::kPlatform;
}

std::string_view name(TreeKind kind) {
    return kind == TreeKind::kPlatform ? "platform" : "scenario";
}

std::vector<std::string> all_sections() {
    std::vector<std::string> names(std::begin(kPlatformSections), std::end(kPlatformSections));
    names.insert(names.end(), std::begin(kScenarioSections), std::end(kScenarioSections));
    return names;
}

/// The settings for one of the two trees; an unknown first name is reported here.
std::vector<Setting> settings_of(TreeKind kind, const ConfigRequest& request) {
    std::vector<Setting> result;
    unsigned number = 0;
    for (const auto& argument : request.settings) {
        Setting setting = parse_setting(argument, ++number);
        const auto& first = setting.path.front();
        if (belongs_to(kind, first.name)) {
            result.push_back(std::move(setting));
            continue;
        }
        if (!belongs_to(other(kind), first.name))
            throw ConfigError(first.position,
                              fmt::format("unknown section '{}'; {}", first.name,
                                          nearest_hint(first.name, all_sections())));
        if (request.scenario_file.empty())
            throw ConfigError(first.position,
                              fmt::format("section '{}' belongs to a scenario; expected one of a "
                                          "platform, since no scenario is given",
                                          first.name));
    }
    return result;
}

bool is_one_file(const ConfigRequest& request) {
    std::error_code ignored;
    return std::filesystem::equivalent(request.platform_file, request.scenario_file, ignored);
}

/// Leaves only the sections of `kind`.
void separate(ConfigNode& tree, TreeKind kind, const ConfigRequest& request) {
    auto& members = *tree.table();
    const auto foreign = [kind](const ConfigNode::Member& member) {
        return belongs_to(other(kind), member.key);
    };
    const auto first = std::find_if(members.begin(), members.end(), foreign);
    if (first == members.end()) return;
    if (!is_one_file(request))
        throw ConfigError(first->position,
                          fmt::format("section '{}' belongs to a {}; this file was given as the {}",
                                      first->key, name(other(kind)), name(kind)));
    members.erase(std::remove_if(first, members.end(), foreign), members.end());
}

ConfigNode read_tree(TreeKind kind, const std::string& file, const ConfigRequest& request) {
    const auto settings = settings_of(kind, request);
    ConfigNode tree = read_config_tree(file);
    separate(tree, kind, request);
    for (const auto& setting : settings) apply_setting(tree, setting);
    return tree;
}

/// What the kernel writes and expects of the hardware is of one kind; machines that only translate
/// have their choice.
void check_walked_as_written(const models::WalkerConfig& walker, const EffectiveConfig& effective) {
    using models::BitUpdate;
    const auto check = [&](const models::WalkStageConfig& stage, const std::string& section,
                           const rmap::PageTableFormat& written) {
        const auto fail = [&](const std::string& key, std::string_view is,
                              std::string_view wanted) {
            throw ConfigError(effective.origin(section, key),
                              fmt::format("'{}.{}' is {}; expected {} to run a scenario, for the "
                                          "kernel knows nothing else",
                                          section, key, is, wanted));
        };
        if (stage.format != &written) fail("format", stage.format->name, written.name);
        if (stage.accessed != BitUpdate::kHardware) fail("accessed", "fault", "hardware");
        if (stage.dirty != BitUpdate::kHardware) fail("dirty", "fault", "hardware");
    };
    check(walker.first, "walker", rmap::x86_64_4level());
    check(walker.second, "walker.second_stage", rmap::ept_4level());
}

}  // namespace

LoadedConfig load_config(const ConfigRequest& request) {
    LoadedConfig config;
    config.platform = read_platform(read_tree(TreeKind::kPlatform, request.platform_file, request),
                                    request.platform_file, request.mechanisms, config.effective);
    check_platform(config.platform, config.effective);
    if (request.scenario_file.empty()) return config;
    if (!config.platform.runs)
        throw UserError(fmt::format(
            "{}: {} is a machine for 'mmusim translate' only: it has no [flush] mechanism that a "
            "scenario could run with",
            request.platform_file, config.platform.name));
    check_walked_as_written(config.platform.mmu.walker, config.effective);
    config.scenario = read_scenario(read_tree(TreeKind::kScenario, request.scenario_file, request),
                                    request.scenario_file, config.effective);
    check_scenario(config.scenario, config.platform, config.effective);
    return config;
}

}  // namespace mmusim::platform
