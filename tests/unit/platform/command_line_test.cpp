// SPDX-License-Identifier: Apache-2.0
// The program without a simulation: what run would be asked is caught.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "platform/cli/command.hpp"
#include "platform/cli/options.hpp"
#include "rmap/types/check.hpp"
#include "tests/support/sample_result.hpp"
#include "tests/support/temporary_folder.hpp"

namespace mmusim::test {
namespace {

using platform::Arguments;
using platform::ExitCode;
using platform::OracleMode;
using platform::RunOptions;

/// One call of the program.
struct Call {
    ExitCode code{};
    std::string out;
    std::string err;
    std::optional<RunOptions> options;  ///< of the run, if there was one
    platform::ScenarioConfig scenario;
};

Call call(const Arguments& arguments, const platform::RunResult& result = sample_result()) {
    Call seen;
    std::ostringstream out;
    std::ostringstream err;
    platform::Session session{out, err};
    session.run = [&](const platform::PlatformConfig&, const platform::ScenarioConfig& scenario,
                      const RunOptions& options) {
        seen.options = options;
        seen.scenario = scenario;
        options.on_round(1, 2);
        return result;
    };
    seen.code = platform::run_command_line(arguments, session);
    seen.out = out.str();
    seen.err = err.str();
    return seen;
}

/// The line of a user error.
std::string error(const Arguments& arguments) {
    const Call seen = call(arguments);
    CHECK(seen.code == ExitCode::kUserError);
    CHECK(seen.out.empty());
    CHECK_FALSE(seen.options);
    CHECK(std::count(seen.err.begin(), seen.err.end(), '\n') == 1);
    return seen.err;
}

TEST_CASE("command line: run with names of shipped files", "[unit][cli]") {
    const Call seen = call({"run", "laptop", "reclaim-anon"});
    CHECK(seen.code == ExitCode::kFine);
    CHECK_THAT(seen.out, Catch::StartsWith("reclaim-anon on laptop\n"));
    CHECK_THAT(seen.err, Catch::StartsWith("12.346 ms simulated in "));
    REQUIRE(seen.options);
    CHECK(seen.options->seed == 1);
    CHECK_FALSE(seen.options->quantum);
    CHECK(seen.options->oracle == OracleMode::kOn);
    CHECK(seen.options->dmi == platform::Dmi::kOn);
    CHECK(seen.options->compare_walks == 64);
    CHECK(seen.options->event_log.empty());
    CHECK(seen.options->stop != nullptr);
}

TEST_CASE("command line: options reach the run", "[unit][cli]") {
    const TemporaryFolder folder;
    const Call seen =
        call({"run", "laptop", "reclaim-anon", "--seed", "18446744073709551615", "--quantum",
              "1.5ns", "--no-oracle", "--dmi", "off", "--compare-walks", "0", "--set",
              "inject.fault=shrink-range", "--set", "process.main.threads=2", "--events",
              folder.path("e.jsonl"), "--quiet"});
    CHECK(seen.code == ExitCode::kFine);
    CHECK(seen.out.empty());
    CHECK(seen.err.empty());
    REQUIRE(seen.options);
    CHECK(seen.options->seed == ~std::uint64_t{0});
    CHECK(seen.options->quantum->ps == 1500);
    CHECK(seen.options->oracle == OracleMode::kOff);
    CHECK(seen.options->dmi == platform::Dmi::kOff);
    CHECK(seen.options->compare_walks == 0);
    CHECK(seen.options->event_log == folder.path("e.jsonl"));
    CHECK(seen.scenario.injected_fault == rmap::InjectedFault::kShrinkRange);
    CHECK(seen.scenario.processes.at(0).threads == 2);
}

TEST_CASE("command line: results file and timing are written whole", "[unit][cli]") {
    const TemporaryFolder folder;
    const Call seen =
        call({"run", "laptop", "reclaim-anon", "--out", folder.path("a/b"), "--timing",
              folder.path("t.json"), "--format", "json", "--events", "events.jsonl"});
    CHECK(seen.code == ExitCode::kFine);
    CHECK(seen.out == folder.read("a/b/results.json"));
    CHECK(nlohmann::json::parse(seen.out)["scenario"] == "reclaim-anon");
    CHECK(nlohmann::json::parse(folder.read("t.json"))["host_s"] >= 0);
    REQUIRE(seen.options);
    CHECK(seen.options->event_log == folder.path("a/b/events.jsonl"));
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path("a/b")))
        files += entry.is_regular_file();
    CHECK(files == 1);
}

TEST_CASE("command line: two runs give the same bytes from another folder", "[unit][cli]") {
    const std::string source = std::string(MMUSIM_REPO_DIR) + "/configs/";
    const Call named = call({"run", "laptop", "munmap", "--format", "json"});
    const Call pathed = call({"run", source + "scenarios/../platforms/laptop.toml",
                              source + "scenarios/munmap.toml", "--format", "json"});
    CHECK(named.out == pathed.out);
}

TEST_CASE("command line: exit codes", "[unit][cli]") {
    platform::RunResult result = sample_result();
    result.stopped = true;
    CHECK(call({"run", "laptop", "munmap"}, result).code == ExitCode::kInterrupted);
    result.oracle.violations = {sample_violation()};
    result.oracle.violations_found = 1;
    CHECK(call({"run", "laptop", "munmap"}, result).code == ExitCode::kViolation);
    result.operations[0].latency_ps.push_back(1);
    const Call broken = call({"run", "laptop", "munmap"}, result);
    CHECK(broken.code == ExitCode::kInternalError);
    CHECK_THAT(broken.err, Catch::StartsWith("mmusim: internal error: "));
    CHECK(std::count(broken.err.begin(), broken.err.end(), '\n') == 1);
}

TEST_CASE("command line: hazards fail a run only with --strict-hazards", "[unit][cli]") {
    platform::RunResult result = sample_result();
    CHECK(call({"run", "laptop", "munmap", "--strict-hazards"}, result).code == ExitCode::kFine);
    result.oracle.hazards.emplace_back().id = "HZ14";
    const Call apart = call({"run", "laptop", "munmap"}, result);
    CHECK(apart.code == ExitCode::kFine);
    CHECK_THAT(apart.out,
               Catch::Contains("safe: no violation; hazards of the kernel itself: HZ14"));
    const Call strict = call({"run", "laptop", "munmap", "--strict-hazards"}, result);
    CHECK(strict.code == ExitCode::kViolation);
    CHECK_THAT(strict.out, Catch::Contains("UNSAFE: "));
    CHECK(error({"run", "laptop", "munmap", "--strict-hazards", "--no-oracle"}) ==
          "mmusim: --strict-hazards needs the oracle; leave out --no-oracle\n");
}

TEST_CASE("command line: an error of several lines becomes one", "[unit][cli]") {
    std::ostringstream out;
    std::ostringstream err;
    platform::Session session{out, err};
    session.run = [](const auto&, const auto&, const auto&) -> platform::RunResult {
        throw std::runtime_error("first\nsecond");
    };
    CHECK(platform::run_command_line({"run", "laptop", "munmap"}, session) ==
          ExitCode::kInternalError);
    CHECK(err.str() == "mmusim: internal error: first second\n");
}

TEST_CASE("command line: mistakes name what is nearest", "[unit][cli]") {
    CHECK(error({"rnu"}) == "mmusim: unknown command 'rnu'; nearest is 'run'\n");
    CHECK(error({"--hepl"}) == "mmusim: unknown option '--hepl'; nearest is '--help'\n");
    CHECK(error({"run", "laptop", "munmap", "--sed", "3"}) ==
          "mmusim: unknown option '--sed'; nearest is '--set'\n");
    CHECK(error({"run", "laptop", "munmap", "--no-orcale"}) ==
          "mmusim: unknown option '--no-orcale'; nearest is '--no-oracle'\n");
    CHECK(error({"run", "laptop", "munmap", "--quant", "1ns"}) ==
          "mmusim: unknown option '--quant'; nearest is '--quantum'\n");
    CHECK(error({"run", "labtop", "munmap"}) ==
          "mmusim: no platform is called 'labtop'; nearest is 'laptop'\n");
    CHECK(error({"run", "laptop", "mumap"}) ==
          "mmusim: no scenario is called 'mumap'; nearest is 'munmap'\n");
    CHECK(error({"sweep", "sockts"}) ==
          "mmusim: no sweep is called 'sockts'; nearest is 'sockets'\n");
    CHECK(error({"list", "rulez"}) == "mmusim: unknown kind 'rulez'; nearest is 'rules'\n");
    CHECK(error({"config", "shwo", "laptop"}) ==
          "mmusim: unknown action 'shwo'; nearest is 'show'\n");
    CHECK(error({"list", "--format", "jsn"}) == "mmusim: --format is 'jsn'; nearest is 'json'\n");
}

TEST_CASE("command line: arguments that are missing or too many", "[unit][cli]") {
    const std::string usage = "; usage: mmusim run PLATFORM SCENARIO [OPTIONS]\n";
    CHECK(error({"run", "laptop"}) == "mmusim: SCENARIO is missing" + usage);
    CHECK(error({"run"}) == "mmusim: PLATFORM is missing" + usage);
    CHECK(error({"run", "laptop", "munmap", "more"}) == "mmusim: too many arguments" + usage);
    CHECK(error({"run", "laptop", "munmap", "--seed"}) ==
          "mmusim: the required argument for option '--seed' is missing\n");
}

TEST_CASE("command line: values that are none", "[unit][cli]") {
    const auto with = [](const std::string& name, const std::string& value) {
        return error({"run", "laptop", "munmap", name, value});
    };
    CHECK(with("--seed", "x") ==
          "mmusim: --seed is 'x'; expected a whole number from 0 to 18446744073709551615\n");
    CHECK(with("--seed", "3x") ==
          "mmusim: --seed is '3x'; expected a whole number from 0 to 18446744073709551615\n");
    for (const std::string bad : {"1", "ns", "0ns", "-1ns", "1 ns", "1e9us", "nan", "1m"})
        CHECK(error({"run", "laptop", "munmap", "--quantum=" + bad}) ==
              "mmusim: --quantum is '" + bad +
                  "'; expected auto, or a time from 1ps to 1000000us, such as 1ns\n");
}

TEST_CASE("command line: nothing is not the name of a file", "[unit][cli]") {
    for (const std::string option : {"--events", "--timeline", "--out", "--timing"})
        CHECK_THAT(error({"run", "laptop", "munmap", option, ""}),
                   Catch::StartsWith("mmusim: " + option + " is empty; expected "));
}

TEST_CASE("command line: jobs and shards that are none", "[unit][cli]") {
    for (const std::string bad : {"0", "-1", "x", "2x", "1025"})
        CHECK(error({"sweep", "sockets", "--jobs=" + bad}) ==
              "mmusim: --jobs is '" + bad + "'; expected a whole number from 1 to 1024\n");
    for (const std::string bad : {"0/2", "3/2", "1", "1/", "/2", "1/2x", "-1/2", "1:2"})
        CHECK(error({"sweep", "sockets", "--shard=" + bad}) ==
              "mmusim: --shard is '" + bad + "'; expected I/N with I from 1 to N, such as 2/8\n");
    CHECK(platform::parse_jobs("1024") == 1024);
    const platform::Shard shard = platform::parse_shard("2/3");
    CHECK(shard.number == 2);
    CHECK(shard.count == 3);
}

TEST_CASE("command line: files that cannot be written are known before the run", "[unit][cli]") {
    const TemporaryFolder folder;
    folder.write("file", "");
    const std::string inside = folder.path("file") + "/x";
    CHECK(error({"run", "laptop", "munmap", "--events", inside}) ==
          "mmusim: " + inside + ": cannot write: Not a directory\n");
    CHECK(error({"run", "laptop", "munmap", "--out", inside}) ==
          "mmusim: " + inside + ": cannot write: Not a directory\n");
    CHECK(error({"run", "laptop", "munmap", "--timing", folder.path("")}) ==
          "mmusim: " + folder.path("") + ": cannot write: Is a directory\n");
}

TEST_CASE("command line: a wrong configuration leaves nothing behind", "[unit][cli]") {
    const TemporaryFolder folder;
    CHECK(error({"run", "laptop", "munmap", "--out", folder.path("out"), "--set",
                 "walker.strat.ns=1"}) ==
          "mmusim: --set:1:8: unknown key 'walker.strat'; nearest is 'start'\n");
    CHECK_FALSE(std::filesystem::exists(folder.path("out")));
}

TEST_CASE("command line: help and version", "[unit][cli]") {
    CHECK(call({"--version"}).out == "mmusim " MMUSIM_VERSION "\n");
    CHECK_THAT(call({"--help"}).out, Catch::Contains("mmusim run skylake-sp-2s reclaim-anon\n"));
    for (const std::string command : {"run", "sweep", "config", "list"}) {
        const Call seen = call({command, "--help"});
        CHECK(seen.code == ExitCode::kFine);
        CHECK_THAT(seen.out, Catch::StartsWith("Usage:\n  mmusim " + command + " ") &&
                                 Catch::Contains("--help") && Catch::Contains("Examples:\n"));
        CHECK(seen.err.empty());
    }
    const Call nothing = call({});
    CHECK(nothing.code == ExitCode::kUserError);
    CHECK(nothing.out.empty());
}

TEST_CASE("command line: list names what exists", "[unit][cli]") {
    const std::string all = call({"list"}).out;
    for (const char* text :
         {"\n  skylake-sp-2s     two sockets", "\n  reclaim-anon ", "\n  sockets ", "\nrules:\n",
          "\n  ipi  ", "\n  skip-batch-flush ", "\n  ack ", "\n  op_begin "})
        CHECK_THAT(all, Catch::Contains(text));
    CHECK_THAT(call({"list", "platforms"}).out,
               Catch::StartsWith("platforms:\n  capture-vm        "));
    const auto json = nlohmann::json::parse(call({"list", "rules", "--format", "json"}).out);
    CHECK(json["rules"].size() >= 6);
    const auto hazards =
        nlohmann::json::parse(call({"list", "hazards", "--format", "json"}).out)["hazards"];
    REQUIRE(hazards.size() == 16);
    CHECK(hazards[13]["name"] == "HZ14");
    CHECK(hazards[13]["gone"] == "v5.13");
    CHECK(hazards[13]["watched"] == true);
    CHECK(hazards[2]["watched"] == false);
    CHECK_THAT(call({"list", "hazards"}).out,
               Catch::Contains("\n  HZ3   swap count leaked: ") &&
                   Catch::Contains("x86 and arm64 cannot reach it).\n") &&
                   Catch::Contains("\n  HZ14  initiator's own callback: ") &&
                   Catch::Contains(" (in v5.0, gone in v5.13).\n"));
}

TEST_CASE("command line: list walks prints who walks the reverse map with which hooks",
          "[unit][cli]") {
    const std::string text = call({"list", "walks"}).out;
    CHECK_THAT(text, Catch::Contains("\n  try_to_munlock            try_to_unmap_one, anon_lock "
                                     "page_lock_anon_vma_read, done page_not_mapped, arg const "
                                     "TtuFlags\n"));
    const auto walks = nlohmann::json::parse(call({"list", "walks", "--format", "json"}).out);
    std::vector<std::string> users;
    for (const auto& row : walks["walks"]) users.push_back(row["name"]);
    CHECK(users == std::vector<std::string>{"try_to_unmap", "try_to_munlock", "page_referenced",
                                            "page_mkclean", "remove_migration_ptes",
                                            "page_idle_clear_pte_refs"});
    CHECK(walks["walks"][3]["invalid_vma"] == "invalid_mkclean_vma");
    CHECK(walks["walks"][4]["anon_lock"] == "none");
}

TEST_CASE("command line: config show prints both formats", "[unit][cli]") {
    CHECK_THAT(call({"config", "show", "laptop"}).out,
               Catch::StartsWith("[platform]\nname = \"laptop\"") &&
                   Catch::Contains("# Automatic quantum: 22 ns"));
    const auto json = nlohmann::json::parse(call({"config", "show", "laptop", "munmap", "--set",
                                                  "operation.munmap.rounds=7", "--format", "json"})
                                                .out);
    CHECK(json["lookahead"]["memory"]["ns"] == 22.0);
    CHECK(json["config"]["operation"]["munmap"]["rounds"]["value"] == 7);
}

}  // namespace
}  // namespace mmusim::test
