// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <systemc>

#include "platform/cli/command.hpp"
#include "platform/run/run.hpp"
#include "platform/translate/translate.hpp"

namespace {

using namespace mmusim::platform;

/// SystemC writes its messages to stdout, which belongs to the results; information is dropped.
void report_to_stderr(const sc_core::sc_report& report, const sc_core::sc_actions& actions) {
    if ((actions & sc_core::SC_DISPLAY) && report.get_severity() != sc_core::SC_INFO)
        std::cerr << sc_core::sc_report_compose_message(report) << '\n';
    sc_core::sc_report_handler::default_handler(report, actions & ~sc_core::SC_DISPLAY);
}

bool wants_colour(int descriptor) {
    const char* const no_colour = std::getenv("NO_COLOR");
    return ::isatty(descriptor) && (!no_colour || *no_colour == '\0');
}

}  // namespace

int sc_main(int argc, char* argv[]) {
    sc_core::sc_report_handler::set_handler(report_to_stderr);
    Session session{std::cout, std::cerr};
    session.colour = wants_colour(STDOUT_FILENO) ? Colour::kOn : Colour::kOff;
    session.progress = ::isatty(STDERR_FILENO) ? Progress::kOn : Progress::kOff;
    session.run = [](const PlatformConfig& platform, const ScenarioConfig& scenario,
                     const RunOptions& options) {
        return run_platform(platform, scenario, options);
    };
    session.translate = [](const PlatformConfig& platform, TraceReader& trace,
                           const TranslateOptions& options) {
        return translate_trace(platform, trace, options);
    };
    const auto code = run_command_line(Arguments(argv + 1, argv + argc), session);
    if (std::cout.flush()) return static_cast<int>(code);
    std::cerr << "mmusim: cannot write to standard output\n";
    return static_cast<int>(ExitCode::kUserError);
}

/// SystemC's own main would print a banner first.
int main(int argc, char* argv[]) {
    ::setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "DISABLE", 1);
    return sc_core::sc_elab_and_sim(argc, argv);
}
