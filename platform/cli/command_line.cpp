// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "platform/cli/command.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/nearest_name.hpp"

namespace mmusim::platform {
namespace {

constexpr Command kCommands[] = {
    {"run", "run a scenario on a platform and report where the time went", run_command},
    {"sweep", "run a scenario at every combination of some settings", sweep_command},
    {"conform", "compare with what a real kernel did, event by event", conform_command},
    {"translate", "send an address trace through the MMU of a platform", translate_command},
    {"convert", "write an address trace in another format", convert_command},
    {"config", "show the configuration that a run would have", config_command},
    {"list", "list what exists: platforms, scenarios, sweeps ...", list_command},
};

void print_help(std::ostream& out) {
    out << "mmusim " MMUSIM_VERSION
           ": what unmapping pages costs on a machine that you describe, "
           "and whether it is safe\n\nUsage:\n  mmusim COMMAND [ARGUMENTS]\n\nCommands:\n";
    for (const auto& command : kCommands)
        out << fmt::format("  {:<9} {}\n", command.name, command.summary);
    out << "\nOptions:\n"
           "  --help     this text; after a command, the options of that command\n"
           "  --version  the version\n"
           "\nExamples:\n"
           "  mmusim run skylake-sp-2s reclaim-anon\n"
           "  mmusim run configs/platforms/laptop.toml configs/scenarios/munmap.toml --out "
           "results\n"
           "  mmusim sweep list-size --out list-size\n"
           "  mmusim config show capture-vm --set topology.cores_per_socket=4\n"
           "  mmusim list platforms\n"
           "\nExit status:\n"
           "  0 fine   1 the oracle found a violation (a hazard with --strict-hazards), or conform "
           "a difference\n"
           "  2 wrong command line or file\n"
           "  3 internal error   130 stopped by Ctrl-C, files complete up to there\n";
}

ExitCode dispatch(const Arguments& arguments, Session& session) {
    if (arguments.empty()) {
        print_help(session.err);
        return ExitCode::kUserError;
    }
    const std::string& first = arguments.front();
    if (first == "--help" || first == "-h") {
        print_help(session.out);
        return ExitCode::kFine;
    }
    if (first == "--version") {
        session.out << "mmusim " MMUSIM_VERSION "\n";
        return ExitCode::kFine;
    }
    std::vector<std::string> names;
    for (const auto& command : kCommands) {
        if (command.name == first)
            return command.run({arguments.begin() + 1, arguments.end()}, session);
        names.emplace_back(command.name);
    }
    const bool is_option = !first.empty() && first.front() == '-';
    if (is_option) names = {"--help", "--version"};
    throw UserError(fmt::format("unknown {} '{}'; {}", is_option ? "option" : "command", first,
                                nearest_hint(first, names)));
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

ExitCode run_command_line(const Arguments& arguments, Session& session) {
    try {
        return dispatch(arguments, session);
    } catch (const UserError& error) {
        session.err << "mmusim: " << one_line(error.what()) << '\n';
        return ExitCode::kUserError;
    } catch (const std::exception& error) {
        session.err << "mmusim: internal error: " << one_line(error.what()) << '\n';
        return ExitCode::kInternalError;
    }
}

}  // namespace mmusim::platform
