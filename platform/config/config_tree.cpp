// SPDX-License-Identifier: Apache-2.0
#include "platform/config/config_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>

#include "platform/config/nearest_name.hpp"
#include "platform/config/toml_reader.hpp"

namespace mmusim::platform {

bool is_unit(std::string_view name) { return name == "ns" || name == "cycles"; }

namespace {

namespace fs = std::filesystem;

struct Extends {
    std::string file;
    Position position;
};

/// Takes `extends` out of the tree.
std::vector<Extends> take_extends(ConfigNode& tree) {
    std::vector<Extends> result;
    const auto* member = tree.find("extends");
    if (!member) return result;
    const auto add = [&result](const ConfigNode& node) {
        const auto* file = std::get_if<std::string>(&node.value);
        if (!file)
            throw ConfigError(node.position,
                              fmt::format("'extends' is {}; expected the name of a file, or an "
                                          "array of them",
                                          describe_type(node)));
        result.push_back({*file, node.position});
    };
    if (const auto* files = std::get_if<ConfigNode::Array>(&member->node.value))
        std::for_each(files->begin(), files->end(), add);
    else
        add(member->node);
    tree.table()->erase(tree.table()->begin() + (member - tree.table()->data()));
    return result;
}

std::vector<std::string> toml_files_in(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored))
        if (entry.path().extension() == ".toml") names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string cannot_open(const std::string& file, const std::system_error& error,
                        const fs::path& path) {
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored))
        return fmt::format("cannot open '{}': no folder '{}'", file, folder.string());
    return fmt::format("cannot open '{}': {}; {}", file, error.code().message(),
                       nearest_hint(path.filename().string(), toml_files_in(folder)));
}

fs::path beside(const fs::path& from, const std::string& file) {
    return (from.parent_path() / file).lexically_normal();
}

/// Reads files and what they extend, and knows which ones are being read.
class Reader {
public:
    ConfigNode read(const fs::path& path) {
        open_.push_back(path);
        ConfigNode own = parse_toml_file(path.string());
        ConfigNode result{ConfigNode::Table{}, own.position, {}};
        for (const auto& extends : take_extends(own)) merge(result, read_extended(path, extends));
        merge(result, std::move(own));
        open_.pop_back();
        return result;
    }

private:
    ConfigNode read_extended(const fs::path& from, const Extends& extends) {
        const fs::path path = beside(from, extends.file);
        const auto same = [&path](const fs::path& other) {
            std::error_code ignored;
            return fs::equivalent(path, other, ignored);
        };
        const auto first = std::find_if(open_.begin(), open_.end(), same);
        if (first != open_.end()) {
            std::string chain;
            for (auto file = first; file != open_.end(); ++file)
                chain += file->filename().string() + " -> ";
            throw ConfigError(extends.position,
                              "'extends' goes in a circle: " + chain + path.filename().string());
        }
        try {
            return read(path);
        } catch (const std::system_error& error) {
            throw ConfigError(extends.position, cannot_open(extends.file, error, path));
        }
    }

    std::vector<fs::path> open_;
};

/// The table called `segment` in `parent`, made if there is none.
ConfigNode& enter(ConfigNode& parent, const Setting::Segment& segment) {
    if (auto* member = parent.find(segment.name)) {
        if (!member->node.table())
            throw ConfigError(segment.position,
                              fmt::format("'{}' is a value, not a section", segment.name));
        return member->node;
    }
    parent.table()->push_back(
        {segment.name, segment.position, {ConfigNode::Table{}, segment.position, {}}});
    return parent.table()->back().node;
}

void put(ConfigNode& table, const Setting::Segment& segment, ConfigNode value) {
    auto* member = table.find(segment.name);
    if (!member) {
        table.table()->push_back({segment.name, segment.position, std::move(value)});
        return;
    }
    merge(member->node, std::move(value));
    // A section stays where it is; what is in it has its own positions.
    if (!member->node.table()) member->position = segment.position;
}

}  // namespace

bool is_bare_key(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) || c == '_' || c == '-';
    });
}

ConfigNode read_config_tree(const std::string& path) {
    try {
        return Reader().read(path);
    } catch (const std::system_error& error) {
        throw UserError(cannot_open(path, error, path));
    }
}

std::string resolve_file(const std::string& file, const Position& position) {
    const fs::path path = beside(position.file, file);
    std::error_code error;
    if (fs::is_regular_file(path, error)) return path.string();
    if (!error) error = std::make_error_code(std::errc::invalid_argument);
    throw ConfigError(position, cannot_open(file, std::system_error(error), path));
}

Setting parse_setting(std::string_view argument, unsigned number) {
    const auto at = [number](std::size_t offset) {
        return Position{kCommandLine, number, static_cast<unsigned>(offset) + 1};
    };
    const std::size_t equals = argument.find('=');
    if (equals == std::string_view::npos)
        throw ConfigError(at(0), fmt::format("'{}' has no value; expected key=value, such as "
                                             "topology.sockets=4",
                                             argument));
    Setting setting;
    for (std::size_t begin = 0; begin <= equals;) {
        const std::size_t end = std::min(argument.find('.', begin), equals);
        const std::string_view name = argument.substr(begin, end - begin);
        if (!is_bare_key(name))
            throw ConfigError(at(begin), fmt::format("'{}' is not a key; expected names joined by "
                                                     "dots, such as topology.sockets",
                                                     argument.substr(0, equals)));
        setting.path.push_back({std::string(name), at(begin)});
        begin = end + 1;
    }
    setting.value = parse_toml_value(argument.substr(equals + 1), at(equals + 1));
    return setting;
}

void apply_setting(ConfigNode& tree, const Setting& setting) {
    ConfigNode* table = &tree;
    const auto& last = setting.path.back();
    const bool unit = is_unit(last.name) && setting.path.size() > 1;
    const std::size_t tables = setting.path.size() - (unit ? 2 : 1);
    for (std::size_t i = 0; i < tables; ++i) table = &enter(*table, setting.path[i]);

    ConfigNode value = setting.value;
    if (unit) {
        ConfigNode::Table quantity;
        quantity.push_back({last.name, last.position, std::move(value)});
        value = {std::move(quantity), last.position, {}};
    }
    put(*table, setting.path[tables], std::move(value));
}

}  // namespace mmusim::platform
