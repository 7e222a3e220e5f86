// SPDX-License-Identifier: Apache-2.0
// What simulating costs this computer. By hand, not by ctest:
//
//   cmake --build --preset release --target mmusim_bench
//   build/release/tests/mmusim_bench access-hit unmap-7        # no argument: names and meanings
//
// Prints lines of NAME VALUE UNIT. An experiment runs in a process of its own, in turn with the
// oracle and without it, and the fastest of kRepeats counts. A rate is per second of CPU time
// (std::clock), after set-up and warm-up. "switches" are those of the simulator between threads.
//
// Rates depend on the computer and on what else it does: compare them only as ratios within one
// run of this program. The other values are counts of the whole run, the same on every computer.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <systemc>
#include <vector>

#include "platform/run/run.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

namespace {

using platform::OperationConfig;
using platform::OperationType;
using rmap::nanoseconds;

constexpr unsigned kRepeats = 3;

/// A run and what is measured of it.
struct Bench {
    platform::PlatformConfig platform;
    platform::ScenarioConfig scenario;
    std::uint64_t warm_up_rounds = 1;  ///< of all operations, before the clock starts
    std::uint64_t warm_up = 0;         ///< accesses or unmaps in these rounds
    std::uint64_t unmaps = 0;          ///< that have to come about; 0 = accesses are measured
};

struct Measured {
    double seconds = 0;
    std::uint64_t count = 0;  ///< accesses or unmaps during these seconds
    // Of the whole run, per access or unmap:
    double switches = 0;
    double walks = 0;
    double ipis = 0;
};

// ---- machines and what happens on them ----

platform::PlatformConfig machine(unsigned sockets, unsigned cores_per_socket) {
    auto config = test_platform(sockets, cores_per_socket);
    config.topology.frames_per_node = 1 << 18;
    config.policy.swap_slots = 4096;
    config.mmu.tlbs[0].arrays[0].geometry = {64, 4};
    return config;
}

platform::ProcessConfig process(std::string name, unsigned first_cpu, unsigned threads,
                                platform::AccessPattern pattern) {
    platform::ProcessConfig config;
    config.name = std::move(name);
    config.first_cpu = first_cpu;
    config.threads = threads;
    config.pattern = pattern;
    config.write_percent = 30;
    config.access = nanoseconds(1);
    return config;
}

platform::RegionConfig region(std::string name, std::string process, std::uint64_t pages) {
    platform::RegionConfig config;
    config.name = std::move(name);
    config.process = std::move(process);
    config.pages = pages;
    return config;
}

OperationConfig operation(OperationType type, std::string region, unsigned cpu, unsigned rounds) {
    OperationConfig config;
    config.name = fmt::format("{}{}", region, cpu);
    config.type = type;
    config.region = std::move(region);
    config.cpu = cpu;
    config.rounds = rounds;
    return config;
}

/// Eight cores access `pages` pages; a ninth unmaps a page of its own at the beginning and at the
/// end of the time that is measured.
Bench accesses(unsigned pages, std::uint64_t us) {
    constexpr unsigned kThreads = 8;
    Bench bench;
    bench.platform = machine(1, kThreads + 1);
    bench.scenario.processes = {process("main", 0, kThreads, platform::AccessPattern::kUniform),
                                process("clock", kThreads, 1, platform::AccessPattern::kIdle)};
    bench.scenario.regions = {region("hot", "main", pages), region("tick", "clock", 1)};
    bench.scenario.operations = {operation(OperationType::kMunmap, "tick", kThreads, 2)};
    bench.scenario.operations[0].pause = nanoseconds(us * 1000);
    bench.warm_up = std::uint64_t{kThreads} * pages;  // every thread touches every page once
    return bench;
}

/// A core that has carried out its operation halts, with the mm loaded and interrupts on; an idle
/// thread would go on polling. The operation of the targets is to move a page to where it is.
void halt_targets(Bench& bench, unsigned first, unsigned targets) {
    bench.scenario.regions.push_back(region("spare", "main", 1));
    for (unsigned cpu = first; cpu < first + targets; ++cpu) {
        auto& halt = bench.scenario.operations.emplace_back(
            operation(OperationType::kMovePages, "spare", cpu, 1));
        halt.to_node = bench.platform.topology.socket_of(bench.scenario.processes[0].first_cpu);
    }
    bench.warm_up_rounds += targets;
}

/// A reclaimer frees clean pages of a file that `targets` halted threads have mapped: one shootdown
/// for a list of 32 pages.
Bench reclaim(unsigned targets, unsigned rounds) {
    constexpr unsigned kPages = 512;  // of one round
    Bench bench;
    bench.platform = machine(2, (targets + 1) / 2);
    bench.scenario.processes = {process("main", 1, targets, platform::AccessPattern::kIdle)};
    bench.scenario.regions = {region("file", "main", std::uint64_t{kPages} * rounds)};
    auto& file = bench.scenario.regions[0];
    file.kind = platform::RegionKind::kFile;
    file.written = false;
    file.active = false;
    bench.scenario.operations = {operation(OperationType::kReclaim, "file", 0, rounds)};
    bench.scenario.operations[0].pages = kPages;
    halt_targets(bench, 1, targets);
    bench.warm_up = kPages;
    bench.unmaps = file.pages;
    return bench;
}

/// A thread moves its pages to the other node and back; its `targets` siblings are halted: one
/// shootdown per page.
Bench move_pages(unsigned targets, unsigned rounds) {
    constexpr unsigned kPages = 128;  // of one round
    Bench bench;
    bench.platform = machine(2, (targets + 1) / 2);
    bench.scenario.processes = {process("main", 0, targets + 1, platform::AccessPattern::kIdle)};
    bench.scenario.regions = {region("heap", "main", kPages)};
    bench.scenario.operations = {operation(OperationType::kMovePages, "heap", 0, rounds)};
    halt_targets(bench, 1, targets);
    bench.warm_up = kPages;
    bench.unmaps = std::uint64_t{kPages} * rounds;
    return bench;
}

struct Experiment {
    std::string_view name;
    std::string_view meaning;
    Bench (*make)();
};

constexpr Experiment kExperiments[] = {
    {"access-hit", "8 cores, every access hits in the L1 TLB", [] { return accesses(16, 4000); }},
    {"access-miss", "8 cores, nearly every access walks the page table",
     [] { return accesses(1024, 8000); }},
    {"unmap-1", "reclaim, a shootdown of 1 halted core per 32 pages",
     [] { return reclaim(1, 64); }},
    {"unmap-7", "reclaim, a shootdown of 7 halted cores per 32 pages",
     [] { return reclaim(7, 64); }},
    {"unmap-55", "reclaim, a shootdown of 55 halted cores per 32 pages",
     [] { return reclaim(55, 64); }},
    {"move-1", "move_pages, a shootdown of 1 halted core per page",
     [] { return move_pages(1, 64); }},
    {"move-7", "move_pages, a shootdown of 7 halted cores per page",
     [] { return move_pages(7, 64); }},
    {"move-55", "move_pages, a shootdown of 55 halted cores per page",
     [] { return move_pages(55, 16); }},
};

// ---- measuring ----

std::uint64_t unmaps_of(const platform::RunResult& result) {
    for (const auto& operation : result.operations)
        if (operation.kind == rmap::OperationKind::kUnmap) return operation.latency_ps.size();
    return 0;
}

/// One run, in this process.
Measured run(const Bench& bench, platform::OracleMode oracle) {
    std::vector<std::clock_t> ends;  // of rounds
    platform::RunOptions options;
    options.oracle = oracle;
    options.on_round = [&](std::uint64_t, std::uint64_t) { ends.push_back(std::clock()); };
    const auto result = platform::run_platform(bench.platform, bench.scenario, options);

    const std::uint64_t accesses = result.counters.at("user_accesses");
    const std::uint64_t unmaps = unmaps_of(result);
    if (unmaps != bench.unmaps || result.oracle.violations_found > 0)
        throw std::runtime_error(fmt::format("{} of {} unmaps, {} violations", unmaps, bench.unmaps,
                                             result.oracle.violations_found));
    const std::uint64_t all = bench.unmaps ? unmaps : accesses;
    const auto per_one = [&](std::uint64_t count) {
        return static_cast<double>(count) / static_cast<double>(all);
    };
    Measured measured;
    measured.seconds =
        static_cast<double>(ends.back() - ends.at(bench.warm_up_rounds - 1)) / CLOCKS_PER_SEC;
    measured.count = all - bench.warm_up;
    measured.switches = per_one(result.quantum.switches);
    measured.walks = per_one(result.walks);
    measured.ipis = per_one(result.counters.at("ipi_sent"));
    return measured;
}

Measured run_in_own_process(const Experiment& experiment, platform::OracleMode oracle) {
    const std::string text = run_in_child([&] {
        const auto m = run(experiment.make(), oracle);
        return fmt::format("{} {} {} {} {}", m.seconds, m.count, m.switches, m.walks, m.ipis);
    });
    std::istringstream in(text);
    Measured m;
    if (!(in >> m.seconds >> m.count >> m.switches >> m.walks >> m.ipis))
        throw std::runtime_error(fmt::format("{}: {}", experiment.name, text));
    return m;
}

void print(const Experiment& experiment, std::string_view oracle, const Measured& measured) {
    const bool unmaps = experiment.make().unmaps > 0;
    const std::string_view what = unmaps ? "unmap" : "access";
    const auto line = [&](std::string_view name, const std::string& value,
                          const std::string& unit) {
        std::cout << fmt::format("{}.{}.{} {} {}\n", experiment.name, oracle, name, value, unit);
    };
    const auto per_one = [&](std::string_view name, double value) {
        line(name, fmt::format("{:.4f}", value), fmt::format("{}/{}", name, what));
    };
    line("rate", fmt::format("{:.0f}", static_cast<double>(measured.count) / measured.seconds),
         unmaps ? "unmaps/s" : "accesses/s");
    per_one("switches", measured.switches);
    if (unmaps)
        per_one("ipis", measured.ipis);
    else
        per_one("walks", measured.walks);
    std::cout << std::flush;
}

void measure(const Experiment& experiment) {
    Measured with;
    Measured without;
    const auto keep_fastest = [](Measured& best, const Measured& next) {
        if (best.count == 0 || next.seconds < best.seconds) best = next;
    };
    for (unsigned n = 0; n < kRepeats; ++n) {
        keep_fastest(with, run_in_own_process(experiment, platform::OracleMode::kOn));
        keep_fastest(without, run_in_own_process(experiment, platform::OracleMode::kOff));
    }
    print(experiment, "oracle", with);
    print(experiment, "no-oracle", without);
}

const Experiment* find(std::string_view name) {
    for (const auto& experiment : kExperiments)
        if (experiment.name == name) return &experiment;
    return nullptr;
}

int usage() {
    std::cerr << "usage: mmusim_bench EXPERIMENT...\n";
    for (const auto& experiment : kExperiments)
        std::cerr << fmt::format("  {:<12} {}\n", experiment.name, experiment.meaning);
    return 2;
}

}  // namespace

}  // namespace mmusim::test

int sc_main(int argc, char* argv[]) {
    using namespace mmusim::test;
    const std::vector<std::string_view> names(argv + 1, argv + argc);
    const auto known = [](std::string_view name) { return find(name) != nullptr; };
    if (names.empty() || !std::all_of(names.begin(), names.end(), known)) return usage();
    try {
        for (const auto name : names) measure(*find(name));
    } catch (const std::exception& error) {
        std::cerr << "mmusim_bench: " << error.what() << '\n';
        return 1;
    }
    return 0;
}

/// SystemC's own main would print a banner first.
int main(int argc, char* argv[]) {
    ::setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "DISABLE", 1);
    return sc_core::sc_elab_and_sim(argc, argv);
}
