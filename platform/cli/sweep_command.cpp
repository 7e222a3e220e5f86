// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "platform/cli/command.hpp"
#include "platform/cli/config_files.hpp"
#include "platform/cli/interrupt_flag.hpp"
#include "platform/cli/options.hpp"
#include "platform/cli/output_file.hpp"
#include "platform/cli/progress_bar.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/nearest_name.hpp"
#include "platform/config/sweep_schema.hpp"
#include "platform/sweep/point_results.hpp"
#include "platform/sweep/process_pool.hpp"
#include "platform/sweep/sweep_points.hpp"
#include "platform/sweep/sweep_table.hpp"

namespace mmusim::platform {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Results = std::vector<std::optional<Json>>;  ///< by point; nothing where it has to be run

constexpr char kSelf[] = "/proc/self/exe";

/// The command line, understood.
struct SweepRequest {
    SweepConfig config;
    std::vector<SweepPoint> points;
    std::vector<EffectiveConfig> effective;  ///< by point
    std::uint64_t seed = 1;
    unsigned jobs = 1;
    std::optional<Shard> shard;
    std::string out_folder;
    std::string figure;  ///< program that draws; empty: none
    bool no_figure = false;
    HazardsCount hazards_count = HazardsCount::kApart;
    OutputFormat format = OutputFormat::kText;
    bool quiet = false;

    std::string file(const std::string& name) const {
        return (fs::path(out_folder) / name).string();
    }
    std::string point_folder(std::size_t point) const {
        return (fs::path(out_folder) / "points" / points[point].name).string();
    }
    std::string point_file(std::size_t point) const {
        return (fs::path(point_folder(point)) / "results.json").string();
    }
    bool has(std::size_t point) const { return !shard || shard->has(point); }
};

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim sweep SWEEP [OPTIONS]";
    syntax.summary =
        "Runs a scenario on a platform once for every combination of the settings that SWEEP\n"
        "varies, each run in a process of its own, and prints one table of all. SWEEP is a name\n"
        "from 'mmusim list sweeps', or a TOML file. Points that are finished in the folder of\n"
        "--out are not run again, so a sweep that was stopped goes on with the same command.";
    syntax.positionals = {"SWEEP"};
    syntax.required = 1;
    syntax.examples =
        "  mmusim sweep list-size\n"
        "  mmusim sweep sockets --jobs 2 --out sockets --format json\n"
        "  mmusim sweep list-size --set region.data.pages=4096 --out long-lists\n"
        "  mmusim sweep list-size --out shared --shard $SLURM_ARRAY_TASK_ID/8   # in each of 8 "
        "tasks\n"
        "  mmusim sweep list-size --out shared                                  # after them\n";
    syntax.values("set", "KEY=VALUE", "change one key in all points; may be repeated");
    syntax.value("seed", "N", "1", "start of all random numbers, of each point");
    syntax.value("out", "DIR", "folder of the results; sweep-NAME unless given");
    syntax.value("jobs", "N",
                 "points that run at the same time; as many as there are CPUs to use "
                 "unless given");
    syntax.value("shard", "I/N",
                 "run only the I-th of N parts of the points, and no report; the "
                 "sweep without --shard makes it from all parts");
    strict_hazards_flag(syntax);
    syntax.value("format", "text|json", "text",
                 "what is printed; json is the content of sweep.json");
    syntax.value("figure", "PROGRAM", "run PROGRAM DIR at the end, such as plot_sweep.py");
    syntax.flag("no-figure", "draw nothing, and do not say how");
    syntax.flag("quiet", "print nothing but errors");
    return syntax;
}

SweepRequest understand(const ParsedOptions& given) {
    SweepRequest request;
    request.config = read_sweep(find_config(ConfigKind::kSweep, given.text("SWEEP")));
    request.points = sweep_points(request.config, given.texts("set"));
    request.seed = parse_seed(given.text("seed"));
    request.jobs = given.has("jobs") ? parse_jobs(given.text("jobs")) : usable_cpus();
    if (given.has("shard")) request.shard = parse_shard(given.text("shard"));
    request.out_folder = given.has("out") ? given.text("out") : "sweep-" + request.config.name;
    request.figure = given.text("figure");
    request.no_figure = given.flag("no-figure");
    request.hazards_count = parse_hazards_count(given);
    request.format = parse_format(given.text("format"));
    request.quiet = given.flag("quiet");
    const auto mechanisms = mechanism_names();
    for (const auto& point : request.points)
        request.effective.push_back(load_point(request.config, point, mechanisms).effective);
    return request;
}

std::optional<Json> read_point(const SweepRequest& request, std::size_t point) {
    std::ifstream file(request.point_file(point), std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    return finished_results(content, request.effective[point], request.seed);
}

/// The points of this task that are not finished. From now on there is no report that says
/// something else than the points.
std::vector<std::size_t> prepare(const SweepRequest& request, Results& results) {
    std::vector<std::size_t> pending;
    for (std::size_t i = 0; i < request.points.size(); ++i) {
        results.push_back(read_point(request, i));
        if (!results.back() && request.has(i)) pending.push_back(i);
    }
    make_folder(request.out_folder);
    for (const char* name : {"sweep.csv", "sweep.json"}) {
        require_writable(request.file(name));
        std::error_code ignored;
        if (!pending.empty()) fs::remove(request.file(name), ignored);
    }
    return pending;
}

PoolTask task_of(const SweepRequest& request, std::size_t point) {
    PoolTask task{kSelf, {"run", request.config.platform_file, request.config.scenario_file}};
    for (const auto& setting : request.points[point].settings) {
        task.arguments.emplace_back("--set");
        task.arguments.push_back(setting.text);
    }
    for (const std::string& argument :
         {std::string("--seed"), std::to_string(request.seed), std::string("--out"),
          request.point_folder(point), std::string("--quiet")})
        task.arguments.push_back(argument);
    return task;
}

std::vector<std::optional<Ending>> run_points(const SweepRequest& request,
                                              const std::vector<std::size_t>& pending,
                                              Session& session) {
    std::vector<PoolTask> tasks;
    for (const auto point : pending) tasks.push_back(task_of(request, point));
    const InterruptFlag interrupted;
    ProgressBar bar(session.err, request.quiet ? Progress::kOff : session.progress, "points");
    return run_tasks(tasks, {request.jobs, interrupted.value(),
                             [&](std::size_t done) { bar.show(done, tasks.size()); },
                             [&](std::size_t task, pid_t process) {
                                 remove_partial_file(request.point_file(pending[task]), process);
                             }});
}

/// Why a point that ended by itself has no results, in one line, and the exit code for it.
ExitCode report_failure(const SweepPoint& point, const Ending& ending, Session& session) {
    constexpr std::string_view kProgram = "mmusim: ";
    std::string message = ending.last_line();
    if (message.compare(0, kProgram.size(), kProgram) == 0) message.erase(0, kProgram.size());
    const bool ran = ending.code <= static_cast<int>(ExitCode::kViolation);
    if (ran) message = "its results are of other values; was one of the files changed meanwhile?";
    session.err << fmt::format("mmusim: point {}: {}\n", point.name, message);
    return ran || ending.code == static_cast<int>(ExitCode::kUserError) ? ExitCode::kUserError
                                                                        : ExitCode::kInternalError;
}

/// Runs what is pending. Afterwards `results` has it; or the exit code says why not.
std::optional<ExitCode> finish_points(const SweepRequest& request,
                                      const std::vector<std::size_t>& pending, Results& results,
                                      Session& session) {
    std::optional<ExitCode> code;
    std::size_t unfinished = 0;
    bool stopped = false;
    const auto endings = run_points(request, pending, session);
    for (std::size_t i = 0; i < pending.size(); ++i) {
        const std::size_t point = pending[i];
        results[point] = read_point(request, point);
        if (results[point]) continue;
        ++unfinished;
        // Ctrl-C on a terminal reaches the runs as well.
        if (!endings[i] || endings[i]->code == static_cast<int>(ExitCode::kInterrupted))
            stopped = true;
        else
            code = std::max(code.value_or(ExitCode::kFine),
                            report_failure(request.points[point], *endings[i], session));
    }
    if (stopped) code = ExitCode::kInterrupted;
    if (unfinished && !request.quiet)
        session.err << fmt::format(
            "mmusim: {}{} of {} points have no result; the same command runs them again\n",
            stopped ? "stopped: " : "", unfinished, pending.size());
    return code;
}

std::string plot_script() {
    const fs::path source = fs::path(MMUSIM_SOURCE_SCRIPTS) / "plot_sweep.py";
    std::error_code ignored;
    if (fs::is_regular_file(source, ignored)) return source.string();
    return (fs::path(MMUSIM_DATA_DIR) / "scripts" / "plot_sweep.py").string();
}

ExitCode draw(const SweepRequest& request, Session& session) {
    if (request.no_figure) return ExitCode::kFine;
    if (request.figure.empty()) {
        if (!request.quiet)
            session.err << fmt::format("for a figure: {} {}\n", plot_script(), request.out_folder);
        return ExitCode::kFine;
    }
    ChildProcess program(request.figure, {request.out_folder});
    while (program.read()) continue;
    const Ending ending = program.wait();
    if (ending.code != 0) {
        session.err << fmt::format("mmusim: no figure: {}: {}\n", request.figure,
                                   ending.last_line());
        return ExitCode::kUserError;
    }
    if (!request.quiet) session.err << ending.errors;
    return ExitCode::kFine;
}

/// Throws ConfigError when no point finished an operation of the kind that is to be reported.
void require_operation(const SweepConfig& sweep, const std::vector<Json>& results) {
    const std::string wanted(rmap::name(sweep.operation));
    std::set<std::string> finished;
    for (const auto& point : results)
        for (const auto& operation : point["operations"])
            if (operation["count"] != 0) finished.insert(operation["name"].get<std::string>());
    if (finished.count(wanted)) return;
    throw ConfigError(sweep.operation_position,
                      fmt::format("'sweep.operation' is '{}', which no point finished; {}", wanted,
                                  nearest_hint(wanted, {finished.begin(), finished.end()})));
}

void report(const SweepRequest& request, Results& results, Session& session) {
    std::vector<Json> all;
    for (auto& one : results) all.push_back(std::move(*one));
    require_operation(request.config, all);
    const FinishedSweep sweep{request.config, request.points, all, request.seed};
    const std::string json = sweep_json(sweep).dump(2) + '\n';
    write_complete_file(request.file("sweep.csv"), sweep_csv(sweep));
    write_complete_file(request.file("sweep.json"), json);
    if (request.quiet) return;
    session.out << (request.format == OutputFormat::kJson ? json
                                                          : sweep_text(sweep, session.colour))
                << std::flush;
    session.err << fmt::format("{}\n{}\n", request.file("sweep.csv"), request.file("sweep.json"));
}

/// One line for each point of this task in which something was unsafe.
ExitCode judge(const SweepRequest& request, const Results& results, Session& session) {
    ExitCode code = ExitCode::kFine;
    const bool strict = request.hazards_count == HazardsCount::kAsViolations;
    for (std::size_t i = 0; i < results.size(); ++i) {
        if (!request.has(i) || !results[i]) continue;
        const std::uint64_t found = violations_in(*results[i]);
        const auto hazards = strict ? hazards_in(*results[i]) : std::vector<std::string>{};
        if (found == 0 && hazards.empty()) continue;
        code = ExitCode::kViolation;
        const std::string& point = request.points[i].name;
        if (found > 0)
            session.err << fmt::format("mmusim: point {}: the oracle found {} violation{}\n", point,
                                       found, found == 1 ? "" : "s");
        if (!hazards.empty())
            session.err << fmt::format("mmusim: point {}: hazards of the kernel itself: {}\n",
                                       point, fmt::join(hazards, ", "));
    }
    return code;
}

}  // namespace

ExitCode sweep_command(const Arguments& arguments, Session& session) {
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    const auto begin = std::chrono::steady_clock::now();
    const SweepRequest request = understand(*given);
    Results results;
    const auto pending = prepare(request, results);
    if (const auto code = finish_points(request, pending, results, session)) return *code;

    const ExitCode code = judge(request, results, session);
    const auto mine = std::count_if(results.begin(), results.end(),
                                    [&](const auto& one) { return one.has_value(); });
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!request.quiet)
        session.err << fmt::format("{} points run in {:.1f} s, {} of {} are finished\n",
                                   pending.size(), seconds, mine, results.size());
    if (request.shard) return code;
    report(request, results, session);
    const ExitCode drawn = draw(request, session);
    return code == ExitCode::kFine ? drawn : code;
}

}  // namespace mmusim::platform
