// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "platform/cli/command.hpp"
#include "platform/cli/config_files.hpp"
#include "platform/cli/options.hpp"
#include "platform/cli/progress_bar.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/load_config.hpp"
#include "platform/conform/conform.hpp"
#include "platform/conform/conform_report.hpp"
#include "platform/conform/forked_pool.hpp"
#include "platform/conform/self_test.hpp"
#include "platform/conform/workload_arguments.hpp"

namespace mmusim::platform {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxCorruptions = 1'000'000;
constexpr char kPlatform[] = "capture-vm";  ///< the machine that the captures were made on

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim conform DIR|FILE [OPTIONS]";
    syntax.summary =
        "Rebuilds the situation of each capture of a real kernel, lets our kernel do the same on\n"
        "the machine of the captures, and compares event by event, arguments included.";
    syntax.positionals = {"DIR|FILE"};
    syntax.required = 1;
    syntax.examples =
        "  mmusim conform captures/5.0.1\n"
        "  mmusim conform captures/5.0.1/h_move_anon_n4_thr3.jsonl.xz\n"
        "  mmusim conform captures/5.0.1 --self-test --seed 7\n"
        "  mmusim list ignored-events\n";
    syntax.flag("self-test",
                "corrupt each capture many times and see how often it is noticed: 99 % are enough");
    syntax.value("corruptions", "N", "200", "of each capture in the self-test");
    syntax.value("seed", "N", "1", "places of the corruptions");
    syntax.value("jobs", "N",
                 "captures that are replayed at the same time; as many as there are CPUs to use "
                 "unless given");
    syntax.value("format", "text|json", "text", "what is printed");
    return syntax;
}

PlatformConfig captured_platform() {
    ConfigRequest request;
    request.platform_file = find_config(ConfigKind::kPlatform, kPlatform);
    request.mechanisms = mechanism_names();
    return load_config(request).platform;
}

std::string name_in(const std::string& file) {
    const auto slash = file.find_last_of('/');
    const auto name = slash == std::string::npos ? file : file.substr(slash + 1);
    return name.substr(0, name.find('.'));
}

/// In a process of its own. A capture that cannot be replayed says why.
CaptureReport replay(const std::string& file, const PlatformConfig& platform) {
    CaptureReport report;
    report.scenario = name_in(file);
    try {
        const Capture capture = read_capture(file);
        return report_of(capture, conform(capture, platform));
    } catch (const NotModelled& error) {
        report.status = CaptureReport::Status::kNotModelled;
        report.reason = error.what();
    } catch (const UserError& error) {
        report.status = CaptureReport::Status::kUnreadable;
        report.reason = error.what();
    }
    return report;
}

/// Captures by what became of them.
struct Verdicts {
    std::size_t conforming = 0;
    std::size_t differing = 0;
    std::size_t skipped = 0;
    std::size_t broken = 0;
    std::size_t failed = 0;  ///< replays that broke down: our mistake

    void count(const CaptureReport& report) {
        switch (report.status) {
            case CaptureReport::Status::kReplayed:
                ++(report.conforms() ? conforming : differing);
                break;
            case CaptureReport::Status::kNotModelled:
                ++skipped;
                break;
            case CaptureReport::Status::kUnreadable:
                ++broken;
                break;
        }
    }

    /// Nothing compared is nothing that conforms.
    ExitCode code() const {
        if (failed) return ExitCode::kInternalError;
        if (differing) return ExitCode::kViolation;
        return broken || !conforming ? ExitCode::kUserError : ExitCode::kFine;
    }

    std::string text() const {
        std::string text = fmt::format("{} conform, {} differ", conforming, differing);
        if (skipped) text += fmt::format(", {} skipped: not modelled", skipped);
        if (broken) text += fmt::format(", {} broken", broken);
        if (failed) text += fmt::format(", {} failed", failed);
        return text + "\n";
    }
};

/// What the self-test was asked for.
struct Corrupting {
    std::size_t corruptions = 0;  ///< of each capture
    std::uint64_t seed = 0;
    unsigned jobs = 0;
};

ExitCode compare(const std::vector<std::string>& files, unsigned jobs, OutputFormat format,
                 Session& session) {
    const PlatformConfig platform = captured_platform();
    ProgressBar bar(session.err, session.progress, "captures");
    const auto results = run_forked(
        files.size(), jobs,
        [&](std::size_t n) { return to_json(replay(files[n], platform)).dump(); },
        [&](std::size_t done) { bar.show(done, files.size()); });
    Json all = Json::array();
    Verdicts verdicts;
    for (std::size_t n = 0; n < files.size(); ++n) {
        if (!results[n].output) {
            ++verdicts.failed;
            session.err << fmt::format("mmusim: internal error: {}: {}\n", files[n],
                                       results[n].error);
            continue;
        }
        const Json json = Json::parse(*results[n].output);
        const CaptureReport report = capture_report(json);
        verdicts.count(report);
        all.push_back(json);
        if (format == OutputFormat::kText) session.out << to_text(report);
    }
    if (format == OutputFormat::kJson)
        session.out << all.dump(2) << '\n';
    else
        session.out << verdicts.text();
    return verdicts.code();
}

/// A capture that cannot be read or replayed is a test that says why.
SelfTest test_file(const std::string& file, const PlatformConfig& platform, const Corrupting& how,
                   const std::function<void(std::size_t)>& watch) {
    try {
        return self_test(read_capture(file), platform, how.corruptions, how.seed, how.jobs, watch);
    } catch (const UserError& error) {
        SelfTest test;
        test.scenario = name_in(file);
        test.unusable = error.what();
        return test;
    }
}

std::string to_text(const SelfTest& test) {
    if (!test.unusable.empty())
        return fmt::format("unusable {}: {}\n", test.scenario, test.unusable);
    std::string text =
        fmt::format("{:<40} {} of {} noticed\n", test.scenario, test.noticed(), test.made);
    for (const auto& survivor : test.survivors) text += "    " + survivor + "\n";
    return text;
}

Json to_json(const SelfTest& test) {
    Json json{{"scenario", test.scenario}};
    if (!test.unusable.empty()) {
        json["unusable"] = test.unusable;
        return json;
    }
    json["corruptions"] = test.made;
    json["noticed"] = test.noticed();
    json["survivors"] = test.survivors;
    return json;
}

ExitCode corrupt(const std::vector<std::string>& files, const Corrupting& how, OutputFormat format,
                 Session& session) {
    const PlatformConfig platform = captured_platform();
    ProgressBar bar(session.err, session.progress, "replays");
    Json all = Json::array();
    std::size_t made = 0;
    std::size_t noticed = 0;
    std::size_t unusable = 0;
    for (std::size_t n = 0; n < files.size(); ++n) {
        const auto test = test_file(files[n], platform, how, [&](std::size_t done) {
            bar.show(n * how.corruptions + done, files.size() * how.corruptions);
        });
        made += test.made;
        noticed += test.noticed();
        unusable += !test.unusable.empty();
        all.push_back(to_json(test));
        if (format == OutputFormat::kText) session.out << to_text(test) << std::flush;
    }
    const double share = made == 0 ? 0 : static_cast<double>(noticed) / static_cast<double>(made);
    if (format == OutputFormat::kJson)
        session.out << all.dump(2) << '\n';
    else
        session.out << fmt::format("{} of {} corruptions noticed: {:.2f} %, {} captures unusable\n",
                                   noticed, made, 100 * share, unusable);
    return share >= kNoticedShare && unusable == 0 ? ExitCode::kFine : ExitCode::kViolation;
}

}  // namespace

ExitCode conform_command(const Arguments& arguments, Session& session) {
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    const OutputFormat format = parse_format(given->text("format"));
    Corrupting how;
    how.corruptions =
        parse_whole_number("corruptions", given->text("corruptions"), 1, kMaxCorruptions);
    how.seed = parse_seed(given->text("seed"));
    const unsigned jobs = given->has("jobs") ? parse_jobs(given->text("jobs")) : usable_cpus();
    const auto files = find_captures(given->text("DIR|FILE"));
    how.jobs = jobs;
    if (given->flag("self-test")) return corrupt(files, how, format, session);
    return compare(files, jobs, format, session);
}

}  // namespace mmusim::platform
