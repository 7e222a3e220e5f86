// SPDX-License-Identifier: Apache-2.0
#include "platform/config/sweep_schema.hpp"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "platform/config/config_tree.hpp"
#include "platform/config/section_reader.hpp"
#include "platform/config/toml_reader.hpp"

namespace mmusim::platform {
namespace {

constexpr char kSettingsMeaning[] = "arguments of --set";

Position moved(Position position, std::size_t columns) {
    position.column += static_cast<unsigned>(columns);
    return position;
}

/// `begin` is where the first character of the setting stands.
PlacedSetting placed(const std::string& text, const Position& begin) {
    return {text, begin, moved(begin, text.find('=') + 1)};
}

/// In a file the text stands in quotes.
std::vector<PlacedSetting> placed(const std::vector<ConfigNode>& texts) {
    std::vector<PlacedSetting> settings;
    for (const auto& node : texts)
        settings.push_back(placed(std::get<std::string>(node.value), moved(node.position, 1)));
    return settings;
}

std::string plain_text(const ConfigNode& value) {
    const auto* text = std::get_if<std::string>(&value.value);
    return text ? *text : toml_text(value);
}

/// An axis of one key: a point for each of its values.
std::vector<AxisPoint> points_of_key(const std::string& key, const Position& quote,
                                     const std::vector<ConfigNode>& values) {
    std::vector<AxisPoint> points;
    for (const auto& value : values)
        points.push_back(
            {plain_text(value), {{key + '=' + toml_text(value), moved(quote, 1), value.position}}});
    return points;
}

std::vector<AxisPoint> named_points(SectionReader points) {
    std::vector<AxisPoint> result;
    for (const auto& name : points.entries("point")) {
        std::vector<ConfigNode> settings;
        points.texts(name, settings, kSettingsMeaning);
        result.push_back({name, placed(settings)});
    }
    points.finish();
    return result;
}

SweepAxis read_axis(SectionReader axis, const std::string& name) {
    SweepAxis out;
    std::string key;
    std::vector<ConfigNode> values;
    out.name = name;
    out.label = name;
    out.position = axis.position();
    axis.text("label", out.label, "what varies, with its unit");
    axis.text("key", key, "the key that varies, as for --set");
    axis.values("values", values, "of the key");
    out.points = named_points(axis.section("points"));
    axis.finish();

    const bool by_key = !key.empty() && !values.empty() && out.points.empty();
    const bool by_name = key.empty() && values.empty() && !out.points.empty();
    if (!by_key && !by_name)
        throw ConfigError(out.position,
                          fmt::format("axis '{0}' has {1}; expected 'key' with 'values', or names "
                                      "with settings in [axis.{0}.points]",
                                      name,
                                      !out.points.empty() ? "points beside 'key' or 'values'"
                                      : !key.empty()      ? "a key without values"
                                      : !values.empty()   ? "values without a key"
                                                          : "no points"));
    if (by_key) out.points = points_of_key(key, axis.value_position("key"), values);
    return out;
}

void check_axis(const SweepAxis& axis) {
    std::set<std::string> seen;
    for (const auto& point : axis.points)
        if (!seen.insert(point.name).second)
            throw ConfigError(point.settings.front().value,
                              fmt::format("axis '{}' has '{}' twice; expected different values",
                                          axis.name, point.name));
}

void read_operation(SectionReader& sweep, SweepConfig& out) {
    std::vector<std::string> names;
    for (std::size_t kind = 0; kind < rmap::kOperationKinds; ++kind)
        names.emplace_back(rmap::name(static_cast<rmap::OperationKind>(kind)));
    std::string chosen(rmap::name(out.operation));
    sweep.name("operation", chosen, names, "operation whose latency is reported", Need::kRequired);
    for (std::size_t kind = 0; kind < names.size(); ++kind)
        if (names[kind] == chosen) out.operation = static_cast<rmap::OperationKind>(kind);
    out.operation_position = sweep.value_position("operation");
}

void read_sweep_section(SectionReader sweep, SweepConfig& out) {
    std::vector<ConfigNode> settings;
    sweep.text("name", out.name, "short name of the sweep", Need::kRequired);
    if (!out.name.empty() && !is_bare_key(out.name))
        throw ConfigError(sweep.value_position("name"),
                          fmt::format("'sweep.name' is '{}', after which a folder is called; "
                                      "expected letters, digits, '_' and '-'",
                                      out.name));
    sweep.text("description", out.description, "one line about the sweep");
    sweep.file("platform", out.platform_file, "file of the machine");
    sweep.file("scenario", out.scenario_file, "file of what happens on it");
    read_operation(sweep, out);
    sweep.texts("set", settings, kSettingsMeaning);
    sweep.finish();
    out.settings = placed(settings);
}

}  // namespace

SweepConfig read_sweep(const std::string& path) {
    const ConfigNode tree = read_config_tree(path);
    SweepConfig out;
    EffectiveConfig effective;
    ReadContext context{path, effective};
    const ConfigNode::Member whole{{}, tree.position, tree};
    SectionReader root(context, &whole, {});
    read_sweep_section(root.section("sweep"), out);
    SectionReader axes = root.section("axis");
    for (const auto& name : axes.entries("axis"))
        out.axes.push_back(read_axis(axes.section(name), name));
    axes.finish();
    root.finish();
    if (out.axes.empty())
        throw ConfigError(effective.origin("sweep", "name"),
                          fmt::format("sweep '{}' varies nothing; expected at least one "
                                      "[axis.NAME]",
                                      out.name));
    for (const auto& axis : out.axes) check_axis(axis);
    return out;
}

PlacedSetting command_line_setting(const std::string& argument, unsigned number) {
    return placed(argument, {kCommandLine, number, 1});
}

}  // namespace mmusim::platform
