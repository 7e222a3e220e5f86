// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "platform/cli/command.hpp"
#include "platform/report/results_json.hpp"
#include "platform/sweep/sweep_points.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// What a subcommand accepts, and its help.
struct Syntax {
    std::string usage;  ///< "mmusim run PLATFORM SCENARIO [OPTIONS]"
    std::string summary;
    std::vector<std::string> positionals;  ///< their names, in order
    std::size_t required = 0;              ///< how many of them have to be there
    std::string examples;                  ///< lines to show under "Examples:"
    boost::program_options::options_description options{"Options"};

    Syntax();  ///< with --help
    void value(const char* name, const char* value_name, const char* meaning);
    void value(const char* name, const char* value_name, const char* fallback, const char* meaning);
    /// May be given several times.
    void values(const char* name, const char* value_name, const char* meaning);
    void flag(const char* name, const char* meaning);
};

/// The options and positionals that were given.
class ParsedOptions {
public:
    explicit ParsedOptions(boost::program_options::variables_map values)
        : values_(std::move(values)) {}

    bool has(const std::string& name) const { return values_.count(name) != 0; }
    std::string text(const std::string& name) const;  ///< empty when it was not given
    std::vector<std::string> texts(const std::string& name) const;
    bool flag(const std::string& name) const { return values_[name].as<bool>(); }

private:
    boost::program_options::variables_map values_;
};

/// Nothing when --help was asked for and printed. Throws UserError, with the nearest name of an
/// unknown option.
std::optional<ParsedOptions> parse_options(const Syntax& syntax, const Arguments& arguments,
                                           std::ostream& out);

enum class OutputFormat { kText, kJson };

/// --strict-hazards, of every command that judges.
void strict_hazards_flag(Syntax& syntax);
HazardsCount parse_hazards_count(const ParsedOptions& given);

/// Values that need more than a type. All throw UserError naming the option.
OutputFormat parse_format(const std::string& text);
/// "on" or "off".
bool parse_switch(const std::string& option, const std::string& text);
std::uint64_t parse_whole_number(const std::string& option, const std::string& text,
                                 std::uint64_t min, std::uint64_t max);
std::uint64_t parse_seed(const std::string& text);
std::uint64_t parse_compare_walks(const std::string& text);
/// How many processes run at the same time.
unsigned parse_jobs(const std::string& text);
/// CPUs that this process may use.
unsigned usable_cpus();
/// "2/8" is the second of eight.
Shard parse_shard(const std::string& text);
/// "auto" is none; otherwise a number with ps, ns or us.
std::optional<rmap::Duration> parse_quantum(const std::string& text);

}  // namespace mmusim::platform
