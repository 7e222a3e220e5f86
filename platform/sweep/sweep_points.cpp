// SPDX-License-Identifier: Apache-2.0
#include "platform/sweep/sweep_points.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "platform/config/config_error.hpp"
#include "platform/config/config_tree.hpp"
#include "platform/config/sweep_schema.hpp"
#include "platform/sweep/sweep_table.hpp"

namespace mmusim::platform {
namespace {

constexpr std::size_t kMaxPoints = 10000;
constexpr std::size_t kMaxName = 200;  ///< file names have 255 bytes

std::string_view key_of(const PlacedSetting& setting) {
    return std::string_view(setting.text).substr(0, setting.text.find('='));
}

/// A quantity has one value, whatever the unit.
std::string_view without_unit(std::string_view key) {
    const auto last = key.rfind('.');
    return last != key.npos && is_unit(key.substr(last + 1)) ? key.substr(0, last) : key;
}

/// One is the other, or a section that the other one is in.
bool overlap(std::string_view a, std::string_view b) {
    a = without_unit(a);
    b = without_unit(b);
    if (a.size() > b.size()) std::swap(a, b);
    return b.substr(0, a.size()) == a && (a.size() == b.size() || b[a.size()] == '.');
}

/// Who sets which keys.
struct Owner {
    std::string who;
    std::vector<PlacedSetting> settings;
};

/// A point has each value from one place. Only --set may change what the sweep sets for all points.
void check_owners(const SweepConfig& sweep, const std::vector<PlacedSetting>& command_line) {
    std::vector<Owner> owners{{"'sweep.set'", sweep.settings}, {"--set", command_line}};
    for (const auto& axis : sweep.axes) {
        Owner owner{fmt::format("axis '{}'", axis.name), {}};
        for (const auto& point : axis.points)
            owner.settings.insert(owner.settings.end(), point.settings.begin(),
                                  point.settings.end());
        for (const auto& other : owners)
            for (const auto& mine : owner.settings)
                for (const auto& theirs : other.settings)
                    if (overlap(key_of(mine), key_of(theirs)))
                        throw ConfigError(
                            other.who == "--set" ? theirs.key : mine.key,
                            fmt::format("both {} and {} set '{}'; expected one of them", other.who,
                                        owner.who, key_of(mine)));
        owners.push_back(std::move(owner));
    }
}

std::string file_name_of(std::string_view text) {
    std::string name;
    for (const unsigned char c : text) {
        const bool plain = c < 128 && (std::isalnum(c) || c == '.' || c == '_' || c == '-');
        name += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
    }
    return name;
}

void check_names(const SweepConfig& sweep) {
    for (const auto& axis : sweep.axes)
        if (is_measured_column(axis.name))
            throw ConfigError(axis.position,
                              fmt::format("axis '{}' has the name of a column of sweep.csv; "
                                          "expected another name",
                                          axis.name));
}

void add_axis(SweepPoint& point, const SweepAxis& axis, const AxisPoint& place) {
    point.name +=
        fmt::format("{}{}={}", point.name.empty() ? "" : ",", axis.name, file_name_of(place.name));
    point.values.push_back(place.name);
    point.settings.insert(point.settings.end(), place.settings.begin(), place.settings.end());
}

/// The place in the file of what load_config() found in one of the settings.
Position place_of(const Position& found, const SweepPoint& point) {
    if (found.file != kCommandLine || found.line == 0 || found.line > point.settings.size())
        return found;
    const PlacedSetting& setting = point.settings[found.line - 1];
    const std::size_t key_columns = key_of(setting).size() + 1;
    const bool in_key = found.column <= key_columns;
    Position place = in_key ? setting.key : setting.value;
    place.column += found.column - 1 - (in_key ? 0 : static_cast<unsigned>(key_columns));
    return place;
}

}  // namespace

std::vector<SweepPoint> sweep_points(const SweepConfig& sweep,
                                     const std::vector<std::string>& command_line) {
    check_names(sweep);
    SweepPoint common;
    common.settings = sweep.settings;
    std::vector<PlacedSetting> given;
    for (const auto& argument : command_line)
        given.push_back(command_line_setting(argument, static_cast<unsigned>(given.size()) + 1));
    check_owners(sweep, given);
    common.settings.insert(common.settings.end(), given.begin(), given.end());

    std::size_t count = 1;
    for (const auto& axis : sweep.axes) {
        count *= axis.points.size();
        if (count > kMaxPoints)
            throw ConfigError(axis.position, fmt::format("the axes up to '{}' make {} points; "
                                                         "expected at most {}",
                                                         axis.name, count, kMaxPoints));
    }
    std::vector<SweepPoint> points(count, common);
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t rest = i;
        for (const auto& axis : sweep.axes) {
            add_axis(points[i], axis, axis.points[rest % axis.points.size()]);
            rest /= axis.points.size();
        }
        if (points[i].name.size() > kMaxName)
            throw ConfigError(sweep.axes.front().position,
                              fmt::format("the name of point '{}' has {} characters; expected at "
                                          "most {}",
                                          points[i].name, points[i].name.size(), kMaxName));
    }
    return points;
}

LoadedConfig load_point(const SweepConfig& sweep, const SweepPoint& point,
                        const std::vector<std::string>& mechanisms) {
    ConfigRequest request{sweep.platform_file, sweep.scenario_file, {}, mechanisms};
    for (const auto& setting : point.settings) request.settings.push_back(setting.text);
    const auto in_point = [&point](const std::string& message) {
        return fmt::format("{}; in point {}", message, point.name);
    };
    try {
        return load_config(request);
    } catch (const ConfigError& error) {
        throw ConfigError(place_of(error.position(), point), in_point(error.message()));
    } catch (const UserError& error) {
        throw UserError(in_point(error.what()));
    }
}

}  // namespace mmusim::platform
