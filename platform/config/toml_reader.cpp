// SPDX-License-Identifier: Apache-2.0
#include "platform/config/toml_reader.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <utility>

namespace mmusim::platform {
namespace {

/// Turns positions of toml++ into ours.
class Place {
public:
    explicit Place(Position origin) : origin_(std::move(origin)) {}

    Position operator()(const toml::source_region& region) const {
        const auto& at = region.begin;
        if (origin_.file == kCommandLine)
            return {origin_.file, origin_.line, origin_.column + at.column - 1};
        return {origin_.file, at.line, at.column};
    }

private:
    Position origin_;
};

ConfigNode convert(const toml::node& node, const Place& place);

/// What the section says about where its plain values come from goes to each of them, so that it
/// still belongs to them when another file replaces some.
void give_provenance(ConfigNode& section) {
    const auto* from = section.find("from");
    const auto* text = from ? std::get_if<std::string>(&from->node.value) : nullptr;
    if (!text) return;
    const Provenance provenance{*text, from->node.position};
    for (auto& member : *section.table())
        if (!member.node.table()) member.node.provenance = provenance;
}

ConfigNode convert_table(const toml::table& table, const Place& place) {
    ConfigNode::Table members;
    for (auto&& [key, value] : table)
        members.push_back({std::string(key.str()), place(key.source()), convert(value, place)});
    // toml++ sorts by name; the order of the file is the user's.
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
        return std::pair(a.position.line, a.position.column) <
               std::pair(b.position.line, b.position.column);
    });
    ConfigNode result{std::move(members), place(table.source()), {}};
    give_provenance(result);
    return result;
}

ConfigNode convert(const toml::node& node, const Place& place) {
    const Position position = place(node.source());
    if (const auto* table = node.as_table()) return convert_table(*table, place);
    if (const auto* array = node.as_array()) {
        ConfigNode::Array elements;
        for (const auto& element : *array) elements.push_back(convert(element, place));
        return {std::move(elements), position, {}};
    }
    if (const auto* text = node.as_string()) return {text->get(), position, {}};
    if (const auto* whole = node.as_integer()) return {whole->get(), position, {}};
    if (const auto* number = node.as_floating_point()) return {number->get(), position, {}};
    if (const auto* flag = node.as_boolean()) return {flag->get(), position, {}};
    throw ConfigError(position, "a date or time; no key expects one");
}

constexpr std::size_t kMaxFileSize = 1 << 20;
constexpr std::size_t kMaxLine = 4096;

std::string read_file(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text(kMaxFileSize + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (file.eof()) file.clear();
    if (text.size() > kMaxFileSize)
        throw ConfigError({path, 1, 1}, "too large for a configuration");
    // Opening a directory succeeds; reading it is what fails.
    if (!file || (text.empty() && errno))
        throw std::system_error(errno ? errno : EIO, std::generic_category());
    return text;
}

/// The parser follows a dotted key as deep as it goes, on the stack.
void check_line_lengths(const std::string& text, const std::string& path) {
    std::istringstream lines(text);
    unsigned number = 1;
    for (std::string line; std::getline(lines, line); ++number)
        if (line.size() > kMaxLine)
            throw ConfigError({path, number, 1}, "a line of " + std::to_string(line.size()) +
                                                     " characters; expected at most " +
                                                     std::to_string(kMaxLine));
}

ConfigError syntax_error(const toml::parse_error& error, const Place& place) {
    std::string what(error.description());
    std::replace(what.begin(), what.end(), '\n', ' ');
    return ConfigError(place(error.source()), "not valid TOML: " + what);
}

/// A value alone is no document; with this before it, it is.
constexpr std::string_view kAssign = "v = ";

bool is_bare_word(std::string_view text) {
    static constexpr std::string_view kStructure = "{}[]\"'=,#";
    return !text.empty() && text.find_first_of(kStructure) == std::string_view::npos;
}

}  // namespace

ConfigNode parse_toml_file(const std::string& path) {
    const std::string text = read_file(path);
    const Place place({path, 0, 0});
    check_line_lengths(text, path);
    try {
        return convert_table(toml::parse(text, std::string_view(path)), place);
    } catch (const toml::parse_error& error) {
        throw syntax_error(error, place);
    }
}

ConfigNode parse_toml_value(std::string_view text, const Position& position) {
    const auto shift = static_cast<unsigned>(kAssign.size());
    const Place place({position.file, position.line, position.column - shift});
    try {
        const auto document =
            toml::parse(std::string(kAssign) + std::string(text), std::string_view(position.file));
        if (document.size() == 1) return convert(*document.get("v"), place);
    } catch (const toml::parse_error& error) {
        if (!is_bare_word(text)) throw syntax_error(error, place);
    }
    if (!is_bare_word(text)) throw ConfigError(position, "not one TOML value");
    return {std::string(text), position, {}};
}

std::string toml_text(const ConfigNode& node) {
    if (const auto* array = std::get_if<ConfigNode::Array>(&node.value)) {
        std::string text = "[";
        for (const auto& element : *array)
            text += (text.size() > 1 ? ", " : "") + toml_text(element);
        return text + "]";
    }
    if (const auto* table = node.table()) {
        std::string text = "{";
        for (const auto& member : *table)
            text += (text.size() > 1 ? ", " : " ") + member.key + " = " + toml_text(member.node);
        return text + " }";
    }
    std::ostringstream out;
    constexpr auto flags =
        toml::toml_formatter::default_flags &
        ~(toml::format_flags::allow_multi_line_strings | toml::format_flags::allow_literal_strings);
    if (const auto* text = std::get_if<std::string>(&node.value))
        out << toml::toml_formatter(toml::value<std::string>(*text), flags);
    else if (const auto* whole = std::get_if<std::int64_t>(&node.value))
        out << toml::toml_formatter(toml::value<std::int64_t>(*whole), flags);
    else if (const auto* number = std::get_if<double>(&node.value))
        out << toml::toml_formatter(toml::value<double>(*number), flags);
    else
        out << toml::toml_formatter(toml::value<bool>(std::get<bool>(node.value)), flags);
    return out.str();
}

}  // namespace mmusim::platform
