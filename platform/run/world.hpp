// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "notifiers/clients/recording_client.hpp"
#include "notifiers/notifier_chain.hpp"
#include "platform/build/platform.hpp"
#include "platform/config/run_options.hpp"
#include "platform/config/scenario_config.hpp"
#include "platform/run/core_program.hpp"
#include "platform/run/guests.hpp"
#include "platform/run/processes.hpp"
#include "platform/run/rendezvous.hpp"
#include "platform/run/setup_ports.hpp"
#include "platform/run/shared_virtual_memory.hpp"
#include "platform/run/tracer.hpp"
#include "platform/run/user_thread.hpp"
#include "rmap/flush/x86_flush.hpp"
#include "rmap/kernel.hpp"
#include "rmap/smp/call_function.hpp"

namespace mmusim::platform {

/// The kernel and the processes of a scenario on a platform: sets them up before time begins, and
/// hands every core its program. The one place where engine and hardware meet.
class World {
public:
    struct Inputs {
        const PlatformConfig& platform;
        const ScenarioConfig& scenario;
        const RunOptions& options;
        models::EventObservers observers;
    };

    struct Programs {
        const std::vector<std::unique_ptr<CoreProgram>>& cores;
        const std::vector<std::unique_ptr<DmaProgram>>& devices;
    };

    World(const Inputs& inputs, Platform& machine, const Programs& programs);

    /// An operation ended early because RunOptions::stop was set.
    bool stopped() const { return stopped_; }

    // ---- when the run is over ----
    const Guests& guests() const { return guests_; }
    rmap::X86FlushStats flush_stats() const;
    const rmap::CallFunction& calls() const { return calls_; }
    rmap::ReclaimStats reclaim_stats() const;
    std::uint64_t event_count(rmap::Event event) const;
    std::map<std::string, std::map<std::string, std::uint64_t>> memory_of_processes();

private:
    rmap::MemoryLayout layout() const;
    unsigned users() const;
    void set_up_clients();
    void register_client(const Process& process, notifiers::NotifierClient& client);
    void record_regions(const Process& process, notifiers::RecordingClient& recorder);
    SetupContext setup_context();
    void set_up_guests();
    void set_up_devices();
    void set_up_threads();
    void set_up_thread(const Process& process, rmap::CpuId cpu);
    void set_up_operations();
    void boot();

    std::function<void(rmap::Cpu&)> operation(const OperationConfig& config);
    std::function<void(rmap::Cpu&, unsigned round)> one_round(const OperationConfig& config);
    std::function<void(rmap::Cpu&, unsigned round)> reclaim(const OperationConfig& config);
    std::function<void(rmap::Cpu&, unsigned round)> move_pages(const OperationConfig& config);
    std::function<void(rmap::Cpu&, unsigned round)> on_range(const OperationConfig& config,
                                                             rmap::Mm& mm, rmap::VirtRange range);
    std::function<void(rmap::Cpu&, unsigned round)> on_file(const OperationConfig& config,
                                                            rmap::AddressSpace& file);
    bool end_round();

    bool runs_operation(rmap::CpuId cpu) const;
    rmap::Cpu& setup(rmap::CpuId cpu) { return **setup_cpus_[cpu]; }

    const Inputs in_;
    Platform& machine_;
    const Programs programs_;

    Processes processes_;
    rmap::KernelMemory memory_;
    rmap::Task setup_task_;
    std::vector<std::unique_ptr<SetupCpu>> setup_cpus_;
    rmap::CallFunction calls_;
    rmap::X86Flush flush_;
    notifiers::NotifierChain chain_;
    std::deque<notifiers::RecordingClient> recorders_;
    rmap::Kernel kernel_;
    Rendezvous rendezvous_;

    std::deque<UserThread> threads_;
    Guests guests_;
    SharedVirtualMemory shared_memory_;
    std::vector<rmap::MmId> watched_;    ///< mm of each notifier client, by the client's number
    std::vector<rmap::Mm*> running_mm_;  ///< by CPU: what its task runs, or nullptr
    std::vector<std::string> task_name_;
    std::vector<std::unique_ptr<Tracer>> tracers_;
    std::vector<std::unique_ptr<rmap::Cpu>> cpus_;
    std::uint64_t rounds_done_ = 0;  ///< for the progress bar only
    std::uint64_t rounds_total_ = 0;
    bool stopped_ = false;
};

}  // namespace mmusim::platform
