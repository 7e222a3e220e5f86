// SPDX-License-Identifier: Apache-2.0
#include "platform/cli/options.hpp"

#include <sched.h>

#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>

#include "platform/config/config_error.hpp"
#include "platform/config/nearest_name.hpp"

namespace mmusim::platform {
namespace {

namespace po = boost::program_options;

void print_help(const Syntax& syntax, std::ostream& out) {
    out << "Usage:\n  " << syntax.usage << "\n\n" << syntax.summary << "\n\n" << syntax.options;
    out << "\nExamples:\n" << syntax.examples;
}

std::string long_names_hint(const std::string& unknown, const po::options_description& options) {
    std::vector<std::string> names;
    for (const auto& option : options.options()) names.push_back("--" + option->long_name());
    return nearest_hint(unknown, names);
}

/// Nothing behind an option is a shell variable that was not set.
void require_text(const po::options_description& options, const po::variables_map& values) {
    for (const auto& option : options.options()) {
        const auto& value = values[option->long_name()].value();
        const auto* const text = boost::any_cast<std::string>(&value);
        if (option->semantic()->max_tokens() > 0 && text && text->empty())
            throw UserError(fmt::format("--{} is empty; expected {}", option->long_name(),
                                        option->format_parameter()));
    }
}

po::variables_map parse(const Syntax& syntax, const po::options_description& all,
                        const Arguments& arguments) {
    po::positional_options_description positionals;
    for (const auto& name : syntax.positionals) positionals.add(name.c_str(), 1);
    // Abbreviations would change their meaning with every new option.
    constexpr int kStyle =
        po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    po::store(
        po::command_line_parser(arguments).options(all).positional(positionals).style(kStyle).run(),
        values);
    po::notify(values);
    require_text(syntax.options, values);
    return values;
}

constexpr unsigned kMaxJobs = 1024;

template <class Number>
bool parse_prefix(std::string_view& text, Number& number) {
    const char* const end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (result.ec != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
    return true;
}

}  // namespace

Syntax::Syntax() { options.add_options()("help", "this text"); }

void Syntax::value(const char* name, const char* value_name, const char* meaning) {
    options.add_options()(name, po::value<std::string>()->value_name(value_name), meaning);
}

void Syntax::value(const char* name, const char* value_name, const char* fallback,
                   const char* meaning) {
    options.add_options()(
        name, po::value<std::string>()->value_name(value_name)->default_value(fallback), meaning);
}

void Syntax::values(const char* name, const char* value_name, const char* meaning) {
    options.add_options()(
        name, po::value<std::vector<std::string>>()->value_name(value_name)->composing(), meaning);
}

void Syntax::flag(const char* name, const char* meaning) {
    options.add_options()(name, po::bool_switch(), meaning);
}

std::string ParsedOptions::text(const std::string& name) const {
    return has(name) ? values_[name].as<std::string>() : std::string();
}

std::vector<std::string> ParsedOptions::texts(const std::string& name) const {
    return has(name) ? values_[name].as<std::vector<std::string>>() : std::vector<std::string>();
}

std::optional<ParsedOptions> parse_options(const Syntax& syntax, const Arguments& arguments,
                                           std::ostream& out) {
    po::options_description all;
    all.add(syntax.options);
    for (const auto& name : syntax.positionals)
        all.add_options()(name.c_str(), po::value<std::string>());
    try {
        const ParsedOptions parsed(parse(syntax, all, arguments));
        if (parsed.has("help")) {
            print_help(syntax, out);
            return std::nullopt;
        }
        for (std::size_t i = 0; i < syntax.required; ++i)
            if (!parsed.has(syntax.positionals[i]))
                throw UserError(
                    fmt::format("{} is missing; usage: {}", syntax.positionals[i], syntax.usage));
        return parsed;
    } catch (const po::unknown_option& error) {
        const std::string name = error.get_option_name();
        throw UserError(
            fmt::format("unknown option '{}'; {}", name, long_names_hint(name, syntax.options)));
    } catch (const po::too_many_positional_options_error&) {
        throw UserError(fmt::format("too many arguments; usage: {}", syntax.usage));
    } catch (const po::error& error) {
        throw UserError(error.what());
    }
}

void strict_hazards_flag(Syntax& syntax) {
    syntax.flag("strict-hazards",
                "count hazards, where the kernel itself breaks a rule, as violations");
}

HazardsCount parse_hazards_count(const ParsedOptions& given) {
    return given.flag("strict-hazards") ? HazardsCount::kAsViolations : HazardsCount::kApart;
}

OutputFormat parse_format(const std::string& text) {
    if (text == "text") return OutputFormat::kText;
    if (text == "json") return OutputFormat::kJson;
    throw UserError(
        fmt::format("--format is '{}'; {}", text, nearest_hint(text, {"text", "json"})));
}

bool parse_switch(const std::string& option, const std::string& text) {
    if (text == "on" || text == "off") return text == "on";
    throw UserError(
        fmt::format("--{} is '{}'; {}", option, text, nearest_hint(text, {"on", "off"})));
}

std::uint64_t parse_whole_number(const std::string& option, const std::string& text,
                                 std::uint64_t min, std::uint64_t max) {
    std::string_view rest = text;
    std::uint64_t number = 0;
    if (parse_prefix(rest, number) && rest.empty() && number >= min && number <= max) return number;
    throw UserError(
        fmt::format("--{} is '{}'; expected a whole number from {} to {}", option, text, min, max));
}

std::uint64_t parse_seed(const std::string& text) {
    return parse_whole_number("seed", text, 0, ~std::uint64_t{0});
}

std::uint64_t parse_compare_walks(const std::string& text) {
    return parse_whole_number("compare-walks", text, 0, ~std::uint64_t{0});
}

unsigned parse_jobs(const std::string& text) {
    return static_cast<unsigned>(parse_whole_number("jobs", text, 1, kMaxJobs));
}

unsigned usable_cpus() {
    cpu_set_t cpus;
    if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
    return std::max(1u, static_cast<unsigned>(CPU_COUNT(&cpus)));
}

Shard parse_shard(const std::string& text) {
    std::string_view rest = text;
    Shard shard;
    const bool has_number = parse_prefix(rest, shard.number);
    const bool has_slash = has_number && !rest.empty() && rest.front() == '/';
    if (has_slash) rest.remove_prefix(1);
    if (has_slash && parse_prefix(rest, shard.count) && rest.empty() && shard.number >= 1 &&
        shard.number <= shard.count)
        return shard;
    throw UserError(
        fmt::format("--shard is '{}'; expected I/N with I from 1 to N, such as 2/8", text));
}

std::optional<rmap::Duration> parse_quantum(const std::string& text) {
    if (text == "auto") return std::nullopt;
    std::string_view rest = text;
    double number = 0;
    if (parse_prefix(rest, number)) {
        const double ps = rest == "ps" ? 1 : rest == "ns" ? 1e3 : rest == "us" ? 1e6 : 0;
        if (number * ps >= 1 && number * ps <= 1e12)
            return rmap::Duration{static_cast<std::uint64_t>(std::llround(number * ps))};
    }
    throw UserError(fmt::format(
        "--quantum is '{}'; expected auto, or a time from 1ps to 1000000us, such as 1ns", text));
}

}  // namespace mmusim::platform
