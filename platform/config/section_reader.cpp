// SPDX-License-Identifier: Apache-2.0
#include "platform/config/section_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "platform/config/config_tree.hpp"
#include "platform/config/nearest_name.hpp"
#include "platform/config/toml_reader.hpp"

namespace mmusim::platform {
namespace {

constexpr std::string_view kProvenanceForm =
    R"("measured: ...", "published: ..." or "assumed: ...")";
constexpr char kSetProvenance[] = "assumed: set on the command line";
constexpr char kDefaultProvenance[] = "assumed: built-in default";
constexpr double kLongestNs = 1e9;

bool is_on_command_line(const Position& position) { return position.file == kCommandLine; }

void check_provenance(std::string_view key, const Provenance& from) {
    for (const std::string_view word : {"measured: ", "published: ", "assumed: "})
        if (from.text.size() > word.size() && from.text.compare(0, word.size(), word) == 0) return;
    throw ConfigError(from.position, fmt::format("provenance of '{}' is '{}'; expected {}", key,
                                                 from.text, kProvenanceForm));
}

/// The value of a number, whole or not; nothing for other types.
std::optional<double> number_in(const ConfigNode& node) {
    if (const auto* whole = std::get_if<std::int64_t>(&node.value))
        return static_cast<double>(*whole);
    if (const auto* number = std::get_if<double>(&node.value)) return *number;
    return std::nullopt;
}

std::string count_expected(CountRange range, std::string_view meaning) {
    return fmt::format("a whole number from {} to {} ({})", range.least, range.most, meaning);
}

bool is_in(const ConfigNode& node, CountRange range) {
    const auto* whole = std::get_if<std::int64_t>(&node.value);
    return whole && *whole >= 0 && static_cast<std::uint64_t>(*whole) >= range.least &&
           static_cast<std::uint64_t>(*whole) <= range.most;
}

bool is_whole(const ConfigNode& node) { return std::holds_alternative<std::int64_t>(node.value); }

}  // namespace

SectionReader::SectionReader(ReadContext& context, const ConfigNode::Member* member,
                             std::string path)
    : context_(context), member_(member), path_(std::move(path)) {
    if (member_ && !member_->node.table())
        throw ConfigError(member_->position, fmt::format("'{}' is {}; expected a section", path_,
                                                         describe_type(member_->node)));
}

std::string SectionReader::full(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
}

void SectionReader::wrong_type(const ConfigNode& node, std::string_view key,
                               const std::string& expected) const {
    throw ConfigError(node.position, fmt::format("'{}' is {}; expected {}", full(key),
                                                 describe_type(node), expected));
}

const ConfigNode::Member* SectionReader::take(std::string_view key, Need need,
                                              const std::string& expected) {
    known_.emplace_back(key);
    const auto* found = member_ ? member_->node.find(key) : nullptr;
    if (!found && need == Need::kRequired && !context_.missing) {
        const Position where =
            member_ && !path_.empty() ? member_->position : Position{context_.file, 1, 1};
        context_.missing.emplace(where,
                                 fmt::format("'{}' is missing; expected {}", full(key), expected));
    }
    return found;
}

void SectionReader::has_provenance() {
    const auto* from = take("from", Need::kOptional, {});
    if (from && !std::holds_alternative<std::string>(from->node.value))
        wrong_type(from->node, "from", std::string(kProvenanceForm));
    has_provenance_ = true;
}

std::string SectionReader::plain_provenance(std::string_view key, const ConfigNode& node) const {
    if (node.provenance) {
        check_provenance(full(key), *node.provenance);
        return node.provenance->text;
    }
    if (is_on_command_line(node.position)) return kSetProvenance;
    throw ConfigError(node.position,
                      fmt::format("'{}' has no provenance; expected from = {} in the same section "
                                  "of this file",
                                  full(key), kProvenanceForm));
}

void SectionReader::keep(std::string_view key, const ConfigNode::Member* member,
                         ConfigNode fallback) {
    ConfigLeaf leaf;
    leaf.section = path_;
    leaf.key = key;
    if (member) {
        leaf.value = member->node;
        leaf.origin = member->position;
        if (has_provenance_) leaf.provenance = plain_provenance(key, member->node);
    } else {
        leaf.value = std::move(fallback);
        if (has_provenance_) leaf.provenance = kDefaultProvenance;
    }
    context_.effective.leaves.push_back(std::move(leaf));
}

std::uint64_t SectionReader::read_count(std::string_view key, std::uint64_t fallback,
                                        CountRange range, std::string_view meaning, Need need) {
    const std::string expected = count_expected(range, meaning);
    const auto* member = take(key, need, expected);
    keep(key, member, {static_cast<std::int64_t>(fallback), {}, {}});
    if (!member) return fallback;
    if (!is_whole(member->node)) wrong_type(member->node, key, expected);
    if (!is_in(member->node, range))
        throw ConfigError(member->node.position, fmt::format("'{}' is {}; expected {}", full(key),
                                                             toml_text(member->node), expected));
    return static_cast<std::uint64_t>(std::get<std::int64_t>(member->node.value));
}

void SectionReader::clock(std::string_view key, std::uint64_t& khz, std::string_view meaning) {
    const std::string expected = fmt::format("a number from 1 to 100000 ({})", meaning);
    const auto* member = take(key, Need::kRequired, expected);
    keep(key, member, {std::int64_t{0}, {}, {}});
    if (!member) return;
    const auto mhz = number_in(member->node);
    if (!mhz) wrong_type(member->node, key, expected);
    if (!(*mhz >= 1 && *mhz <= 100000))
        throw ConfigError(member->node.position, fmt::format("'{}' is {}; expected {}", full(key),
                                                             toml_text(member->node), expected));
    khz = static_cast<std::uint64_t>(std::llround(*mhz * 1000));
}

void SectionReader::flag(std::string_view key, bool& field, std::string_view meaning) {
    const std::string expected = fmt::format("true or false ({})", meaning);
    const auto* member = take(key, Need::kOptional, expected);
    keep(key, member, {field, {}, {}});
    if (!member) return;
    const auto* value = std::get_if<bool>(&member->node.value);
    if (!value) wrong_type(member->node, key, expected);
    field = *value;
}

void SectionReader::text(std::string_view key, std::string& field, std::string_view meaning,
                         Need need) {
    const std::string expected = fmt::format("a string ({})", meaning);
    const auto* member = take(key, need, expected);
    keep(key, member, {field, {}, {}});
    if (!member) return;
    const auto* value = std::get_if<std::string>(&member->node.value);
    if (!value) wrong_type(member->node, key, expected);
    field = *value;
}

void SectionReader::name(std::string_view key, std::string& field,
                         const std::vector<std::string>& names, std::string_view meaning,
                         Need need) {
    text(key, field, meaning, need);
    const auto* member = member_ ? member_->node.find(key) : nullptr;
    if (!member || std::find(names.begin(), names.end(), field) != names.end()) return;
    throw ConfigError(member->node.position,
                      fmt::format("'{}' is '{}', which is not known; {}", full(key), field,
                                  nearest_hint(field, names)));
}

std::string SectionReader::time_expected(std::string_view meaning) const {
    if (!context_.clock_khz) return fmt::format("{{ ns = NUMBER }} ({})", meaning);
    return fmt::format(
        "{{ ns = NUMBER, from = \"...\" }} or {{ cycles = NUMBER, from = \"...\" }} "
        "({})",
        meaning);
}

const ConfigNode::Member& SectionReader::number_of(const ConfigNode& quantity, std::string_view key,
                                                   const std::string& expected) const {
    const ConfigNode::Member* number = nullptr;
    for (const auto& member : *quantity.table()) {
        if (member.key == "from") continue;
        if (member.key != "ns" && (member.key != "cycles" || !context_.clock_khz))
            throw ConfigError(member.position, fmt::format("unknown key '{}' in '{}'; expected {}",
                                                           member.key, full(key), expected));
        if (number)
            throw ConfigError(member.position,
                              fmt::format("'{}' has both {} and {}; expected {}", full(key),
                                          number->key, member.key, expected));
        number = &member;
    }
    if (!number)
        throw ConfigError(quantity.position,
                          fmt::format("'{}' has no number; expected {}", full(key), expected));
    if (!number_in(number->node)) wrong_type(number->node, key, expected);
    return *number;
}

std::string SectionReader::quantity_provenance(const ConfigNode& quantity,
                                               std::string_view key) const {
    if (const auto* from = quantity.find("from")) {
        const auto* text = std::get_if<std::string>(&from->node.value);
        if (!text) wrong_type(from->node, full(key) + ".from", std::string(kProvenanceForm));
        check_provenance(full(key), {*text, from->node.position});
        return *text;
    }
    if (!context_.clock_khz) return {};
    if (is_on_command_line(quantity.position)) return kSetProvenance;
    throw ConfigError(quantity.position, fmt::format("'{}' has no provenance; expected from = {}",
                                                     full(key), kProvenanceForm));
}

rmap::Duration SectionReader::duration_of(const ConfigNode::Member& number, std::string_view key,
                                          Zero zero, std::string_view meaning) const {
    const double value = *number_in(number.node);
    const double ns =
        number.key == "ns" ? value : value * 1e6 / static_cast<double>(context_.clock_khz);
    const bool fits = ns >= 0 && ns <= kLongestNs;
    const auto ps = fits ? static_cast<std::uint64_t>(std::llround(ns * 1000)) : 0;
    const bool lost = ps == 0 && (zero == Zero::kForbidden || value != 0);
    if (!fits || lost)
        throw ConfigError(
            number.node.position,
            fmt::format("'{}' is {} {}; expected {} to 1 s ({})", full(key), toml_text(number.node),
                        number.key, zero == Zero::kAllowed ? "0, or 0.001 ns" : "0.001 ns",
                        meaning));
    return {ps};
}

void SectionReader::time(std::string_view key, rmap::Duration& field, Zero zero,
                         std::string_view meaning, Need need) {
    const std::string expected = time_expected(meaning);
    const auto* member = take(key, need, expected);
    ConfigLeaf leaf;
    leaf.section = path_;
    leaf.key = key;
    leaf.unit = "ns";
    leaf.value = {static_cast<double>(field.ps) / 1000, {}, {}};
    if (member) {
        if (!member->node.table()) wrong_type(member->node, key, expected);
        const auto& number = number_of(member->node, key, expected);
        field = duration_of(number, key, zero, meaning);
        leaf.value = number.node;
        leaf.unit = number.key;
        leaf.origin = number.position;
        leaf.provenance = quantity_provenance(member->node, key);
    }
    leaf.time = field;
    context_.effective.leaves.push_back(std::move(leaf));
}

void SectionReader::matrix(std::string_view key, std::vector<std::vector<unsigned>>& field,
                           unsigned size, CountRange range, std::string_view meaning) {
    const std::string expected = fmt::format("{0} rows of {0} whole numbers from {1} to {2} ({3})",
                                             size, range.least, range.most, meaning);
    const auto* member = take(key, Need::kOptional, expected);
    if (member) {
        const auto* rows = std::get_if<ConfigNode::Array>(&member->node.value);
        if (!rows || rows->size() != size) wrong_type(member->node, key, expected);
        field.clear();
        for (const auto& row : *rows) {
            const auto* cells = std::get_if<ConfigNode::Array>(&row.value);
            if (!cells || cells->size() != size) wrong_type(row, key, expected);
            field.emplace_back();
            for (const auto& cell : *cells) {
                if (!is_in(cell, range)) wrong_type(cell, key, expected);
                field.back().push_back(static_cast<unsigned>(std::get<std::int64_t>(cell.value)));
            }
        }
    }
    ConfigNode::Array fallback;
    for (const auto& row : field) {
        ConfigNode::Array cells;
        for (const auto cell : row) cells.push_back({std::int64_t{cell}, {}, {}});
        fallback.push_back({std::move(cells), {}, {}});
    }
    keep(key, member, {std::move(fallback), {}, {}});
}

void SectionReader::file(std::string_view key, std::string& field, std::string_view meaning,
                         Need need) {
    text(key, field, meaning, need);
    const Position position = value_position(key);
    if (!position.file.empty()) field = resolve_file(field, position);
}

template <class IsElement>
const ConfigNode::Array* SectionReader::take_array(std::string_view key, Need need,
                                                   const std::string& expected,
                                                   IsElement&& is_element) {
    const auto* member = take(key, need, expected);
    keep(key, member, {ConfigNode::Array{}, {}, {}});
    if (!member) return nullptr;
    const auto* array = std::get_if<ConfigNode::Array>(&member->node.value);
    if (!array) wrong_type(member->node, key, expected);
    for (const auto& element : *array)
        if (!is_element(element))
            throw ConfigError(element.position,
                              fmt::format("'{}' has {} in it; expected {}", full(key),
                                          describe_type(element), expected));
    return array;
}

void SectionReader::texts(std::string_view key, std::vector<ConfigNode>& field,
                          std::string_view meaning, Need need) {
    const auto is_text = [](const ConfigNode& node) {
        return std::holds_alternative<std::string>(node.value);
    };
    if (const auto* array =
            take_array(key, need, fmt::format("an array of strings ({})", meaning), is_text))
        field = *array;
}

std::vector<std::string> SectionReader::names_in(std::string_view key,
                                                 const std::vector<std::string>& names,
                                                 std::string_view meaning) {
    std::vector<ConfigNode> nodes;
    texts(key, nodes, meaning, Need::kRequired);
    const auto* member = member_ ? member_->node.find(key) : nullptr;
    if (member && nodes.empty())
        throw ConfigError(member->node.position,
                          fmt::format("'{}' is empty; expected one or more of {}", full(key),
                                      fmt::join(names, ", ")));
    std::vector<std::string> chosen;
    for (const auto& node : nodes) {
        const auto& name = std::get<std::string>(node.value);
        if (std::find(names.begin(), names.end(), name) == names.end())
            throw ConfigError(node.position,
                              fmt::format("'{}' has '{}' in it, which is not known; {}", full(key),
                                          name, nearest_hint(name, names)));
        chosen.push_back(name);
    }
    return chosen;
}

void SectionReader::values(std::string_view key, std::vector<ConfigNode>& field,
                           std::string_view meaning, Need need) {
    const std::string expected =
        fmt::format("an array of strings, numbers, or true and false ({})", meaning);
    const auto is_value = [](const ConfigNode& node) {
        return !node.table() && !std::holds_alternative<ConfigNode::Array>(node.value);
    };
    const auto* array = take_array(key, need, expected, is_value);
    if (!array) return;
    if (array->empty())
        throw ConfigError(value_position(key),
                          fmt::format("'{}' is empty; expected {}", full(key), expected));
    field = *array;
}

Position SectionReader::value_position(std::string_view key) const {
    const auto* member = member_ ? member_->node.find(key) : nullptr;
    return member ? member->node.position : Position{};
}

SectionReader SectionReader::section(std::string_view key) {
    known_.emplace_back(key);
    return {context_, member_ ? member_->node.find(key) : nullptr, full(key)};
}

std::vector<std::string> SectionReader::entries(std::string_view what) {
    std::vector<std::string> names;
    if (!member_) return names;
    for (const auto& member : *member_->node.table()) {
        if (is_on_command_line(member.position))
            throw ConfigError(member.position,
                              fmt::format("no {} is called '{}'; {}", what, member.key,
                                          nearest_hint(member.key, names)));
        if (!is_bare_key(member.key))
            throw ConfigError(member.position,
                              fmt::format("'{}' is no name for a {}; expected letters, digits, '_' "
                                          "and '-'",
                                          member.key, what));
        names.push_back(member.key);
    }
    return names;
}

void SectionReader::finish() {
    if (member_)
        for (const auto& member : *member_->node.table())
            if (std::find(known_.begin(), known_.end(), member.key) == known_.end())
                throw ConfigError(
                    member.position,
                    fmt::format("unknown {} '{}'; {}", path_.empty() ? "section" : "key",
                                full(member.key), nearest_hint(member.key, known_)));
    if (path_.empty() && context_.missing) throw ConfigError(*context_.missing);
}

}  // namespace mmusim::platform
