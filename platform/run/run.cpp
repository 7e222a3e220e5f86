// SPDX-License-Identifier: Apache-2.0
#include "platform/run/run.hpp"

#include <fmt/format.h>

#include <exception>
#include <memory>

#include "platform/build/platform.hpp"
#include "platform/build/simulation.hpp"
#include "platform/oracle/oracle.hpp"
#include "platform/report/event_log.hpp"
#include "platform/report/timeline.hpp"
#include "platform/run/collect.hpp"
#include "platform/run/world.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

namespace {

/// Gives every access to the oracle and to whoever else looks.
class AccessTee final : public models::AccessObserver {
public:
    void add(models::AccessObserver* observer) {
        if (observer) observers_.push_back(observer);
    }
    models::AccessObserver* get() { return observers_.empty() ? nullptr : this; }
    void judge(rmap::ActorId agent, const models::AccessBatch& uses) override {
        for (auto* observer : observers_) observer->judge(agent, uses);
    }
    void judge_walks(rmap::ActorId agent, std::uint64_t compared,
                     const std::vector<models::WalkDifference>& differences) override {
        for (auto* observer : observers_) observer->judge_walks(agent, compared, differences);
    }

private:
    std::vector<models::AccessObserver*> observers_;
};

/// What the cores and the devices of a machine run.
struct Programs {
    explicit Programs(const PlatformConfig& config) {
        for (rmap::CpuId cpu = 0; cpu < config.topology.cores(); ++cpu)
            cores.push_back(std::make_unique<CoreProgram>());
        for (std::size_t n = 0; n < config.devices.size(); ++n)
            devices.push_back(std::make_unique<DmaProgram>());
    }
    Platform::Software software() const {
        return {[this](rmap::CpuId cpu) -> models::CoreSoftware& { return *cores[cpu]; },
                [this](std::size_t n) -> models::DeviceProgram& { return *devices[n]; }};
    }

    std::vector<std::unique_ptr<CoreProgram>> cores;
    std::vector<std::unique_ptr<DmaProgram>> devices;
};

/// Runs until nothing happens any more. A core that has not come to its end by then never will.
void simulate(const Programs& programs, Platform& machine) {
    run_simulation();
    if (const auto failure = machine.failure()) std::rethrow_exception(failure);
    for (std::size_t cpu = 0; cpu < programs.cores.size(); ++cpu)
        MMUSIM_CHECK(programs.cores[cpu]->finished(),
                     fmt::format("deadlock: core {} waits for ever", cpu));
    for (std::size_t n = 0; n < programs.devices.size(); ++n)
        MMUSIM_CHECK(programs.devices[n]->finished(),
                     fmt::format("deadlock: device {} waits for ever", n));
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

/// Whoever looks at a run while it goes on: the oracle, the files that record it, and tests.
class Observation {
public:
    Observation(const Agents& agents, const RunOptions& options, const RunProbes& probes) {
        const auto name = [&agents](rmap::ActorId actor) { return agents.name(actor); };
        if (options.oracle == OracleMode::kOn)
            oracle_ = std::make_unique<SafetyOracle>(Vocabulary::kSimulation, names_of(agents));
        if (!options.event_log.empty()) log_ = std::make_unique<EventLog>(options.event_log, name);
        if (!options.timeline.empty())
            timeline_ = std::make_unique<Timeline>(options.timeline, name);
        add_sink(oracle_.get());
        add_sink(log_.get());
        add_sink(timeline_.get());
        add_sink(probes.events);
        accesses_.add(oracle_.get());
        accesses_.add(probes.accesses);
    }

    models::AccessObserver* accesses() { return accesses_.get(); }
    /// Nothing to emit to when nobody listens.
    models::EventObservers events() { return {listened_ ? &stream_ : nullptr, oracle_.get()}; }

    /// The run is over and every access has been judged.
    OracleReport finish() {
        stream_.finish();
        if (log_) log_->close();
        if (timeline_) timeline_->close();
        OracleReport report;
        if (oracle_) report = oracle_->finish();
        report.on = oracle_ != nullptr;
        return report;
    }

private:
    static AgentNames names_of(const Agents& agents) {
        AgentNames names;
        names.actor = [&agents](rmap::ActorId actor) { return agents.name(actor); };
        names.translation = [&agents](rmap::ActorId actor, rmap::Access access) {
            return agents.translations_of(actor, access);
        };
        names.device_tlb = [&agents](rmap::ActorId actor) { return agents.device_tlb_of(actor); };
        return names;
    }
    void add_sink(models::EventSink* sink) {
        if (!sink) return;
        stream_.add_sink(*sink);
        listened_ = true;
    }

    std::unique_ptr<SafetyOracle> oracle_;
    std::unique_ptr<EventLog> log_;
    std::unique_ptr<Timeline> timeline_;
    models::SettledStream stream_;
    AccessTee accesses_;
    bool listened_ = false;
};

}  // namespace

RunResult run_platform(const PlatformConfig& config, const ScenarioConfig& scenario,
                       const RunOptions& options, const RunProbes& probes) {
    const Programs programs(config);
    const Agents agents(config);
    Observation observation(agents, options, probes);

    Platform::Options build;
    build.lookahead = lookahead_of(config);
    build.lookahead.quantum = options.quantum;
    build.observer = observation.accesses();
    if (options.oracle == OracleMode::kOn) build.compare_walks = options.compare_walks;
    build.dmi = options.dmi;
    build.events = observation.events();
    build.creation_order = probes.creation_order;
    build.devices_first = probes.devices_first;
    build.fault = scenario.injected_fault;
    Platform machine(config, build, programs.software());
    World world({config, scenario, options, build.events}, machine,
                {programs.cores, programs.devices});

    simulate(programs, machine);
    machine.settle(rmap::kNever);

    RunResult result;
    result.oracle = observation.finish();
    for (const auto& program : programs.cores)
        result.simulated = rmap::max(result.simulated, program->finished_at() - rmap::Instant{});
    result.stopped = world.stopped();
    collect(machine, world, result);
    result.quantum = quantum_report(build.lookahead, machine);
    return result;
}

}  // namespace mmusim::platform
