// SPDX-License-Identifier: Apache-2.0
#include "platform/config/config_show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "platform/config/lookahead.hpp"
#include "platform/config/toml_reader.hpp"

namespace mmusim::platform {
namespace {

using Json = nlohmann::ordered_json;
using Leaves = std::vector<ConfigLeaf>;

double in_ns(rmap::Duration time) { return static_cast<double>(time.ps) / 1000; }

ConfigNode text_node(const std::string& text) { return {text, {}, {}}; }

std::string origin_text(const Position& origin) {
    if (origin.file.empty()) return "default";
    if (origin.file == kCommandLine) return kCommandLine;
    return fmt::format("{}:{}", origin.file, origin.line);
}

bool is_default(const ConfigLeaf& leaf) { return leaf.origin.file.empty(); }

bool needs_from(const ConfigLeaf& leaf) {
    return leaf.unit.empty() && !leaf.provenance.empty() && !is_default(leaf);
}

/// One `from` for the plain values of a section: what most of them say, then those that differ.
std::string section_provenance(Leaves::const_iterator begin, Leaves::const_iterator end) {
    const std::string* usual = nullptr;
    std::ptrdiff_t most = 0;
    for (auto leaf = begin; leaf != end; ++leaf) {
        const auto same = std::count_if(begin, end, [leaf](const ConfigLeaf& other) {
            return needs_from(other) && other.provenance == leaf->provenance;
        });
        if (!needs_from(*leaf) || same <= most) continue;
        usual = &leaf->provenance;
        most = same;
    }
    if (!usual) return {};
    std::string text = *usual;
    for (auto leaf = begin; leaf != end; ++leaf)
        if (needs_from(*leaf) && leaf->provenance != *usual)
            text += fmt::format("; {} {}", leaf->key, leaf->provenance);
    return fmt::format("from = {}\n", toml_text(text_node(text)));
}

std::string leaf_line(const ConfigLeaf& leaf) {
    std::string value = toml_text(leaf.value);
    std::string comment = origin_text(leaf.origin);
    if (!leaf.unit.empty()) {
        const std::string from =
            leaf.provenance.empty() ? "" : ", from = " + toml_text(text_node(leaf.provenance));
        value = fmt::format("{{ {} = {}{} }}", leaf.unit, value, from);
        if (leaf.unit != "ns") comment = fmt::format("{} ns, {}", in_ns(leaf.time), comment);
    }
    // What nobody wrote stays unwritten when the text is read back.
    return fmt::format("{}{} = {}  # {}\n", is_default(leaf) ? "# " : "", leaf.key, value, comment);
}

std::string pair_text(const LookaheadRow& lookahead) {
    if (lookahead.from == lookahead.to) return "there is one core";
    return fmt::format("{} and {}", lookahead.from, lookahead.to);
}

std::string lookahead_comments(const PlatformConfig& platform) {
    std::string text = "\n# Least time until one core can notice another:\n";
    for (const auto& lookahead : lookaheads(platform))
        text += fmt::format("#   {:<12}{:>8} ns  {} ({})\n", lookahead.kind, in_ns(lookahead.time),
                            lookahead.key, pair_text(lookahead));
    const LookaheadRow least = exact_quantum(platform);
    return text + fmt::format("# Automatic quantum: {} ns, the least of them, set by {} ({}).\n",
                              in_ns(least.time), least.kind, pair_text(least));
}

Json value_json(const ConfigNode& node) {
    if (const auto* array = std::get_if<ConfigNode::Array>(&node.value)) {
        Json elements = Json::array();
        for (const auto& element : *array) elements.push_back(value_json(element));
        return elements;
    }
    if (const auto* flag = std::get_if<bool>(&node.value)) return *flag;
    if (const auto* whole = std::get_if<std::int64_t>(&node.value)) return *whole;
    if (const auto* number = std::get_if<double>(&node.value)) return *number;
    return std::get<std::string>(node.value);
}

Json leaf_json(const ConfigLeaf& leaf) {
    Json json;
    json["value"] = value_json(leaf.value);
    if (!leaf.unit.empty()) {
        json["unit"] = leaf.unit;
        json["ns"] = in_ns(leaf.time);
    }
    if (!leaf.provenance.empty()) json["from"] = leaf.provenance;
    json["origin"] = short_origin(leaf.origin);
    return json;
}

}  // namespace

std::string config_toml(const EffectiveConfig& effective, const PlatformConfig& platform) {
    std::string text;
    const auto& leaves = effective.leaves;
    for (auto begin = leaves.begin(); begin != leaves.end();) {
        const auto end = std::find_if(begin, leaves.end(), [begin](const ConfigLeaf& leaf) {
            return leaf.section != begin->section;
        });
        text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", begin->section);
        text += section_provenance(begin, end);
        for (auto leaf = begin; leaf != end; ++leaf) text += leaf_line(*leaf);
        begin = end;
    }
    return text + lookahead_comments(platform);
}

Json config_json(const EffectiveConfig& effective) {
    Json root = Json::object();
    for (const auto& leaf : effective.leaves) {
        Json* section = &root;
        for (std::size_t begin = 0; begin < leaf.section.size();) {
            const std::size_t end = std::min(leaf.section.find('.', begin), leaf.section.size());
            section = &(*section)[leaf.section.substr(begin, end - begin)];
            begin = end + 1;
        }
        (*section)[leaf.key] = leaf_json(leaf);
    }
    return root;
}

Json lookahead_json(const PlatformConfig& platform) {
    Json json;
    for (const auto& lookahead : lookaheads(platform))
        json[lookahead.kind] = {{"ns", in_ns(lookahead.time)},
                                {"key", lookahead.key},
                                {"between", {lookahead.from, lookahead.to}}};
    json["quantum_ns"] = in_ns(exact_quantum(platform).time);
    return json;
}

}  // namespace mmusim::platform
