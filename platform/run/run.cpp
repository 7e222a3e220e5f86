// SPDX-License-Identifier: Apache-2.0
#include "platform/run/run.hpp"

#include <fmt/format.h>

#include <exception>
#include <memory>
#include <systemc>

#include "platform/build/platform.hpp"
#include "platform/oracle/oracle.hpp"
#include "platform/report/event_log.hpp"
#include "platform/report/timeline.hpp"
#include "platform/run/collect.hpp"
#include "platform/run/world.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

namespace {

std::string core_name(rmap::ActorId actor) { return "core" + std::to_string(actor); }

/// Gives every access to the oracle and to whoever else looks.
class AccessTee final : public models::AccessObserver {
public:
    void add(models::AccessObserver* observer) {
        if (observer) observers_.push_back(observer);
    }
    models::AccessObserver* get() { return observers_.empty() ? nullptr : this; }
    void judge(rmap::ActorId agent, const models::AccessRecord* first,
               const models::AccessRecord* last) override {
        for (auto* observer : observers_) observer->judge(agent, first, last);
    }

private:
    std::vector<models::AccessObserver*> observers_;
};

/// Runs until nothing happens any more. A core that has not come to its end by then never will.
void simulate(const std::vector<std::unique_ptr<CoreProgram>>& programs, Platform& machine) {
    try {
        sc_core::sc_start();
    } catch (const sc_core::sc_report& report) {
        throw rmap::InvariantError(report.get_msg());
    }
    for (rmap::CpuId cpu = 0; cpu < machine.cores(); ++cpu)
        if (const auto failure = machine.core(cpu).failure()) std::rethrow_exception(failure);
    for (std::size_t cpu = 0; cpu < programs.size(); ++cpu)
        MMUSIM_CHECK(programs[cpu]->finished(),
                     fmt::format("deadlock: core {} waits for ever", cpu));
}

QuantumReport quantum_report(const models::Lookahead& lookahead, Platform& machine) {
    const auto late = machine.late();
    QuantumReport report;
    for (rmap::CpuId cpu = 0; cpu < machine.cores(); ++cpu)
        report.switches += machine.core(cpu).time().switches();
    report.automatic = lookahead.automatic();
    report.requested = lookahead.quantum;
    report.late_effects = late.count;
    report.worst_lateness = late.worst;
    if (lookahead.quantum && *lookahead.quantum > report.automatic)
        report.bound = *lookahead.quantum - report.automatic;
    return report;
}

}  // namespace

RunResult run_platform(const PlatformConfig& config, const ScenarioConfig& scenario,
                       const RunOptions& options, const RunProbes& probes) {
    std::vector<std::unique_ptr<CoreProgram>> programs;
    for (rmap::CpuId cpu = 0; cpu < config.topology.cores(); ++cpu)
        programs.push_back(std::make_unique<CoreProgram>());

    std::unique_ptr<SafetyOracle> oracle;
    if (options.oracle == OracleMode::kOn)
        oracle = std::make_unique<SafetyOracle>(
            Vocabulary::kSimulation,
            AgentNames{core_name, [](rmap::ActorId a) { return core_name(a) + ".l1_tlb"; }});
    std::unique_ptr<EventLog> log;
    if (!options.event_log.empty()) log = std::make_unique<EventLog>(options.event_log, core_name);
    std::unique_ptr<Timeline> timeline;
    if (!options.timeline.empty())
        timeline = std::make_unique<Timeline>(options.timeline, core_name);

    models::SettledStream stream;
    if (oracle) stream.add_sink(*oracle);
    if (log) stream.add_sink(*log);
    if (timeline) stream.add_sink(*timeline);
    if (probes.events) stream.add_sink(*probes.events);
    AccessTee accesses;
    accesses.add(oracle.get());
    accesses.add(probes.accesses);

    Platform::Options build;
    build.lookahead = lookahead_of(config);
    build.lookahead.quantum = options.quantum;
    build.observer = accesses.get();
    build.creation_order = probes.creation_order;
    Platform machine(config, build,
                     [&](rmap::CpuId cpu) -> models::CoreSoftware& { return *programs[cpu]; });
    const bool listened = oracle || log || timeline || probes.events;
    World world({config, scenario, options, {listened ? &stream : nullptr, oracle.get()}}, machine,
                programs);

    simulate(programs, machine);
    for (rmap::CpuId cpu = 0; cpu < machine.cores(); ++cpu) machine.core(cpu).settle(rmap::kNever);
    stream.finish();
    if (log) log->close();
    if (timeline) timeline->close();

    RunResult result;
    for (const auto& program : programs)
        result.simulated = rmap::max(result.simulated, program->finished_at() - rmap::Instant{});
    result.stopped = world.stopped();
    collect(machine, world, result);
    result.oracle.on = oracle != nullptr;
    if (oracle) result.oracle = oracle->finish();
    result.quantum = quantum_report(build.lookahead, machine);
    return result;
}

}  // namespace mmusim::platform
