// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "platform/cli/command.hpp"
#include "platform/cli/config_files.hpp"
#include "platform/cli/interrupt_flag.hpp"
#include "platform/cli/options.hpp"
#include "platform/cli/output_file.hpp"
#include "platform/cli/progress_bar.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/load_config.hpp"
#include "platform/report/results_json.hpp"
#include "platform/report/text_report.hpp"
#include "platform/report/text_units.hpp"

namespace mmusim::platform {
namespace {

namespace fs = std::filesystem;

/// The command line, understood.
struct RunRequest {
    ConfigRequest config;
    RunOptions options;
    std::string out_folder;
    std::string timing_file;
    OutputFormat format = OutputFormat::kText;
    HazardsCount hazards_count = HazardsCount::kApart;
    bool quiet = false;
};

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim run PLATFORM SCENARIO [OPTIONS]";
    syntax.summary =
        "Runs SCENARIO on PLATFORM and reports what the unmaps cost, where the time went and\n"
        "whether anything was unsafe. Both are names from 'mmusim list', or TOML files.";
    syntax.positionals = {"PLATFORM", "SCENARIO"};
    syntax.required = 2;
    syntax.examples =
        "  mmusim run skylake-sp-2s reclaim-anon\n"
        "  mmusim run skylake-sp-2s reclaim-anon --set process.main.threads=27\n"
        "  mmusim run my-machine.toml munmap --set coherence.same_socket.ns=60 --out results\n"
        "  mmusim run laptop reclaim-anon --set inject.fault=skip-batch-flush\n"
        "  mmusim run milan-1s reclaim-file --out results --events events.jsonl --format json\n"
        "  mmusim run skylake-sp-2s munmap --timeline timeline.json\n";
    syntax.values("set", "KEY=VALUE", "change one key of either file; may be repeated");
    syntax.value("seed", "N", "1", "start of all random numbers");
    syntax.value("out", "DIR", "write results.json into this folder");
    syntax.value("events", "FILE",
                 "write every event, one JSON object per line; a bare name goes into the folder of "
                 "--out");
    syntax.value("timeline", "FILE",
                 "write a timeline for Perfetto or chrome://tracing, with an arrow from each cause "
                 "to its effect; a bare name goes into the folder of --out");
    syntax.value("quantum", "TIME", "auto",
                 "how far cores run ahead of each other, such as 1ns; auto is the largest that is "
                 "exact");
    syntax.value("compare-walks", "N", "64",
                 "of each core, compare every N-th use of a translation with a walk through no "
                 "cache; 0: none");
    syntax.value("dmi", "on|off", "on",
                 "whether cores use what their first TLBs have granted them without asking again; "
                 "the results are the same");
    syntax.flag("no-oracle", "do not check that every use of a translation is safe");
    strict_hazards_flag(syntax);
    syntax.value("format", "text|json", "text",
                 "what is printed; json is the content of results.json");
    syntax.value("timing", "FILE", "write how long the run took on this computer");
    syntax.flag("quiet", "print nothing but errors");
    return syntax;
}

RunRequest understand(const ParsedOptions& given) {
    RunRequest request;
    auto& config = request.config;
    config.platform_file = find_config(ConfigKind::kPlatform, given.text("PLATFORM"));
    config.scenario_file = find_config(ConfigKind::kScenario, given.text("SCENARIO"));
    config.settings = given.texts("set");
    config.mechanisms = mechanism_names();

    request.out_folder = given.text("out");
    request.timing_file = given.text("timing");
    request.format = parse_format(given.text("format"));
    request.hazards_count = parse_hazards_count(given);
    request.quiet = given.flag("quiet");

    auto& options = request.options;
    options.seed = parse_seed(given.text("seed"));
    options.quantum = parse_quantum(given.text("quantum"));
    options.compare_walks = parse_compare_walks(given.text("compare-walks"));
    options.oracle = given.flag("no-oracle") ? OracleMode::kOff : OracleMode::kOn;
    options.dmi = parse_switch("dmi", given.text("dmi")) ? Dmi::kOn : Dmi::kOff;
    if (request.hazards_count == HazardsCount::kAsViolations && options.oracle == OracleMode::kOff)
        throw UserError("--strict-hazards needs the oracle; leave out --no-oracle");
    options.event_log = given.text("events");
    options.timeline = given.text("timeline");
    for (std::string* file : {&options.event_log, &options.timeline}) {
        const fs::path path(*file);
        if (!path.empty() && !path.has_parent_path() && !request.out_folder.empty())
            *file = (fs::path(request.out_folder) / path).string();
    }
    return request;
}

/// Every reason for which the files could not be written afterwards.
void prepare_outputs(const RunRequest& request) {
    if (!request.out_folder.empty()) make_folder(request.out_folder);
    std::vector<fs::path> taken{fs::weakly_canonical(request.config.platform_file),
                                fs::weakly_canonical(request.config.scenario_file)};
    std::vector<std::string> outputs{request.options.event_log, request.options.timeline,
                                     request.timing_file};
    if (!request.out_folder.empty())
        outputs.push_back((fs::path(request.out_folder) / "results.json").string());
    for (const auto& file : outputs) {
        if (file.empty()) continue;
        const fs::path place = fs::weakly_canonical(file);
        if (std::find(taken.begin(), taken.end(), place) != taken.end())
            throw UserError(
                fmt::format("{}: cannot write: it is a file of this run already", file));
        taken.push_back(place);
        require_writable(file);
    }
}

struct TimedResult {
    RunResult result;
    double seconds = 0;  ///< of host time
};

TimedResult run_timed(const RunRequest& request, const LoadedConfig& config, Session& session) {
    const InterruptFlag interrupted;
    ProgressBar bar(session.err, request.quiet ? Progress::kOff : session.progress, "rounds");
    RunOptions options = request.options;
    options.stop = &interrupted.value();
    options.on_round = [&bar](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
    const auto begin = std::chrono::steady_clock::now();
    TimedResult timed;
    timed.result = session.run(config.platform, config.scenario, options);
    timed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return timed;
}

void report(const RunRequest& request, const FinishedRun& run, double seconds, Session& session) {
    const std::string json = results_json(run).dump(2) + '\n';
    const std::string text =
        request.format == OutputFormat::kJson ? json : text_report(run, session.colour);
    if (!request.out_folder.empty())
        write_complete_file((fs::path(request.out_folder) / "results.json").string(), json);
    if (!request.timing_file.empty()) {
        const nlohmann::ordered_json timing = {
            {"host_s", seconds},
            {"simulated_ns", static_cast<double>(run.result.simulated.ps) / 1000}};
        write_complete_file(request.timing_file, timing.dump(2) + '\n');
    }
    if (request.quiet) return;
    session.out << text << std::flush;
    session.err << fmt::format("{} simulated in {:.2f} s\n", readable(run.result.simulated),
                               seconds);
}

ExitCode exit_code(const RunRequest& request, const RunResult& result) {
    const bool strict = request.hazards_count == HazardsCount::kAsViolations;
    if (result.oracle.violations_found > 0 || (strict && !result.oracle.hazards.empty()))
        return ExitCode::kViolation;
    return result.stopped ? ExitCode::kInterrupted : ExitCode::kFine;
}

}  // namespace

ExitCode run_command(const Arguments& arguments, Session& session) {
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    const RunRequest request = understand(*given);
    const LoadedConfig config = load_config(request.config);
    prepare_outputs(request);
    const TimedResult timed = run_timed(request, config, session);
    report(request, {config, request.options.seed, timed.result, request.hazards_count},
           timed.seconds, session);
    return exit_code(request, timed.result);
}

}  // namespace mmusim::platform
