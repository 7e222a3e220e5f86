// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/flush/flush_mechanism.hpp"
#include "platform/cli/command.hpp"
#include "platform/cli/config_files.hpp"
#include "platform/cli/options.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/config_tree.hpp"
#include "platform/config/nearest_name.hpp"
#include "platform/conform/inputs.hpp"
#include "platform/conform/script.hpp"
#include "platform/oracle/hazard_table.hpp"
#include "platform/oracle/rule_table.hpp"
#include "platform/report/cause_table.hpp"
#include "rmap/account/accountant.hpp"
#include "rmap/types/event.hpp"
#include "rmap/types/injected_fault.hpp"
#include "rmap/types/part.hpp"
#include "rmap/walk/walk_users.hpp"

namespace mmusim::platform {
namespace {

struct Item {
    std::string name;
    std::string text;
    nlohmann::ordered_json details = nlohmann::ordered_json::object();  ///< in JSON only
};
using Items = std::vector<Item>;

/// What a file says about itself; a broken one says what is wrong with it.
std::string description_in(const ConfigFile& file, std::string_view section) {
    try {
        const ConfigNode tree = read_config_tree(file.path);
        const auto* about = tree.find(section);
        const auto* text = about ? about->node.find("description") : nullptr;
        const auto* value = text ? std::get_if<std::string>(&text->node.value) : nullptr;
        return value ? *value : std::string();
    } catch (const UserError& error) {
        return error.what();
    }
}

Items list_configs(ConfigKind kind, std::string_view section) {
    Items items;
    for (const auto& file : shipped_configs(kind))
        items.push_back({file.name, description_in(file, section)});
    return items;
}

Items list_platforms() { return list_configs(ConfigKind::kPlatform, "platform"); }
Items list_scenarios() { return list_configs(ConfigKind::kScenario, "scenario"); }

Items list_sweeps() { return list_configs(ConfigKind::kSweep, "sweep"); }

Items list_mechanisms() {
    Items items;
    for (const auto& row : models::flush_mechanisms())
        items.push_back({std::string(row.name), std::string(row.summary)});
    return items;
}

Items list_rules() {
    Items items;
    for (const auto& row : rule_table())
        items.push_back({std::string(row.id), fmt::format("{}: {}", row.title, row.summary)});
    return items;
}

Items list_hazards() {
    Items items;
    for (const auto& row : hazard_table()) {
        std::string where = kernels_text(row);
        if (!row.make) where += fmt::format("; needs {}", row.needs);
        items.push_back(
            {std::string(row.id),
             fmt::format("{}: {} Seen as: {} ({}).", row.title, row.summary, row.sign, where),
             {{"since", row.since},
              {"gone", row.gone},
              {"needs", row.needs},
              {"watched", row.make != nullptr}}});
    }
    return items;
}

Items list_faults() {
    Items items;
    for (const auto& row : rmap::kInjectedFaults)
        items.push_back({std::string(row.name), std::string(row.meaning)});
    return items;
}

Items list_parts() {
    Items items;
    for (const auto& row : rmap::kPartTable)
        items.push_back({std::string(row.name), std::string(row.meaning)});
    return items;
}

std::string_view name(rmap::EventMark mark) {
    switch (mark) {
        case rmap::EventMark::kEntry:
            return "entry";
        case rmap::EventMark::kReturn:
            return "return";
        case rmap::EventMark::kPoint:
            return "point";
    }
    return "";
}

Items list_operations() {
    Items items;
    for (std::size_t kind = 0; kind < rmap::kOperationKinds; ++kind)
        items.push_back({std::string(rmap::name(static_cast<rmap::OperationKind>(kind))),
                         "",
                         {{"kind", kind}}});
    return items;
}

Items list_events() {
    Items items;
    for (const auto& row : rmap::kEventTable)
        items.push_back(
            {std::string(row.name), std::string(row.arguments), {{"mark", name(row.mark)}}});
    return items;
}

/// Hooks that a walk does not have are left out of the text.
Items list_walks() {
    Items items;
    for (const auto& row : rmap::kWalkUsers) {
        std::string text(row.rmap_one);
        const auto add = [&](std::string_view hook, std::string_view value) {
            if (value != "none") text += fmt::format(", {} {}", hook, value);
        };
        add("anon_lock", row.anon_lock);
        add("done", row.done);
        add("invalid_vma", row.invalid_vma);
        add("arg", row.arg);
        items.push_back({std::string(row.user),
                         std::move(text),
                         {{"rmap_one", row.rmap_one},
                          {"anon_lock", row.anon_lock},
                          {"done", row.done},
                          {"invalid_vma", row.invalid_vma},
                          {"arg", row.arg}}});
    }
    return items;
}

Items list_causes() {
    Items items;
    for (const auto& row : cause_table()) {
        std::vector<std::string_view> effects;
        for (const auto& effect : row.to)
            if (effect) effects.push_back(rmap::info(*effect).name);
        items.push_back({std::string(row.name),
                         std::string(row.meaning),
                         {{"from", rmap::info(row.from).name},
                          {"to", effects},
                          {"match", words(row.match)},
                          {"when", row.when},
                          {"take", name(row.take)}}});
    }
    return items;
}

/// What conform takes from captures.
Items list_inputs() {
    Items items;
    for (const auto& row : input_table())
        items.push_back({std::string(row.name), std::string(row.meaning)});
    return items;
}

/// What conform leaves out of captures, and why.
Items list_ignored_events() {
    Items items;
    for (const auto& row : ignored_events())
        items.push_back({std::string(row.event),
                         fmt::format("{}: {}", row.when, row.reason),
                         {{"when", row.when}, {"reason", row.reason}}});
    return items;
}

struct Kind {
    std::string_view name;
    Items (*list)();
};

constexpr Kind kKinds[] = {
    {"platforms", list_platforms},   {"scenarios", list_scenarios},
    {"sweeps", list_sweeps},         {"rules", list_rules},
    {"hazards", list_hazards},       {"mechanisms", list_mechanisms},
    {"faults", list_faults},         {"parts", list_parts},
    {"operations", list_operations}, {"events", list_events},
    {"causes", list_causes},         {"walks", list_walks},
    {"inputs", list_inputs},         {"ignored-events", list_ignored_events},
};

std::vector<std::string> kind_names() {
    std::vector<std::string> names;
    for (const auto& kind : kKinds) names.emplace_back(kind.name);
    return names;
}

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim list [KIND] [OPTIONS]";
    syntax.summary = fmt::format("Lists what exists. KIND is one of {}; without it, all.",
                                 fmt::join(kind_names(), ", "));
    syntax.positionals = {"KIND"};
    syntax.examples =
        "  mmusim list\n"
        "  mmusim list rules\n"
        "  mmusim list platforms --format json\n";
    syntax.value("format", "text|json", "text", "what is printed");
    return syntax;
}

void print(const Kind& kind, std::ostream& out) {
    const Items items = kind.list();
    std::size_t width = 0;
    for (const auto& item : items) width = std::max(width, item.name.size());
    out << kind.name << ":\n";
    for (const auto& item : items) {
        std::string line = fmt::format("  {:<{}}  {}", item.name, width, item.text);
        line.erase(line.find_last_not_of(' ') + 1);
        out << line << '\n';
    }
}

nlohmann::ordered_json to_json(const Kind& kind) {
    auto array = nlohmann::ordered_json::array();
    for (const auto& item : kind.list()) {
        nlohmann::ordered_json object = {{"name", item.name}, {"text", item.text}};
        object.update(item.details);
        array.push_back(std::move(object));
    }
    return array;
}

}  // namespace

ExitCode list_command(const Arguments& arguments, Session& session) {
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    const OutputFormat format = parse_format(given->text("format"));
    const std::string wanted = given->text("KIND");
    std::vector<Kind> chosen;
    for (const auto& kind : kKinds)
        if (wanted.empty() || kind.name == wanted) chosen.push_back(kind);
    if (chosen.empty())
        throw UserError(
            fmt::format("unknown kind '{}'; {}", wanted, nearest_hint(wanted, kind_names())));

    if (format == OutputFormat::kJson) {
        nlohmann::ordered_json json;
        for (const auto& kind : chosen) json[std::string(kind.name)] = to_json(kind);
        session.out << json.dump(2) << '\n';
        return ExitCode::kFine;
    }
    for (const auto& kind : chosen) {
        if (&kind != &chosen.front()) session.out << '\n';
        print(kind, session.out);
    }
    return ExitCode::kFine;
}

}  // namespace mmusim::platform
