// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "platform/config/platform_config.hpp"
#include "platform/config/run_options.hpp"
#include "platform/config/scenario_config.hpp"
#include "platform/report/run_result.hpp"
#include "platform/report/text_report.hpp"
#include "platform/trace/trace_reader.hpp"
#include "platform/translate/translate_options.hpp"
#include "platform/translate/translate_result.hpp"

namespace mmusim::platform {

/// What the program returns to its caller.
enum class ExitCode {
    kFine = 0,
    kViolation = 1,  ///< of the oracle (hazards with --strict-hazards), or conform's difference
    kUserError = 2,  ///< the command line or a file is wrong
    kInternalError = 3,
    kInterrupted = 130,  ///< Ctrl-C; the files are complete up to there
};

enum class Progress { kOff, kOn };

using Runner =
    std::function<RunResult(const PlatformConfig&, const ScenarioConfig&, const RunOptions&)>;

using Translator =
    std::function<TranslateResult(const PlatformConfig&, TraceReader&, const TranslateOptions&)>;

/// What a subcommand works with.
struct Session {
    std::ostream& out;  ///< results only
    std::ostream& err;  ///< diagnostics and progress
    Colour colour = Colour::kOff;
    Progress progress = Progress::kOff;
    Runner run{};
    Translator translate{};
};

using Arguments = std::vector<std::string>;

/// A subcommand. `run` throws UserError.
struct Command {
    std::string_view name;
    std::string_view summary;
    ExitCode (*run)(const Arguments& arguments, Session& session);
};

ExitCode run_command(const Arguments& arguments, Session& session);
ExitCode sweep_command(const Arguments& arguments, Session& session);
ExitCode conform_command(const Arguments& arguments, Session& session);
ExitCode translate_command(const Arguments& arguments, Session& session);
ExitCode convert_command(const Arguments& arguments, Session& session);
ExitCode config_command(const Arguments& arguments, Session& session);
ExitCode list_command(const Arguments& arguments, Session& session);

/// The whole program: `arguments` without its name. Every error is one line on session.err.
ExitCode run_command_line(const Arguments& arguments, Session& session);

}  // namespace mmusim::platform
