// SPDX-License-Identifier: Apache-2.0
#include "platform/run/world.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "notifiers/clients/kvm/vcpu_run.hpp"
#include "platform/config/config_error.hpp"
#include "platform/run/thread_seed.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::CpuId;

namespace {

constexpr std::uint64_t kSpareFrames = 4096;  ///< for locks, page caches and mm words

rmap::X86FlushConfig flush_config(const PlatformConfig& platform, const ScenarioConfig& scenario,
                                  rmap::FrameNumber init_pgd) {
    rmap::X86FlushConfig config;
    config.cpus = platform.topology.cores();
    config.single_page_flush_ceiling = platform.policy.single_page_flush_ceiling;
    config.pcid = platform.policy.pcid ? rmap::PcidMode::kOn : rmap::PcidMode::kOff;
    config.init_pgd = init_pgd;
    config.fault = scenario.injected_fault;
    return config;
}

rmap::AckOrder ack_order(rmap::InjectedFault fault) {
    return fault == rmap::InjectedFault::kAckBeforeHandler ? rmap::AckOrder::kBeforeFunction
                                                           : rmap::AckOrder::kAfterFunction;
}

rmap::KernelConfig kernel_config(const PlatformConfig& platform, const ScenarioConfig& scenario) {
    rmap::KernelConfig config;
    for (CpuId cpu = 0; cpu < platform.topology.cores(); ++cpu)
        config.node_of_cpu.push_back(platform.topology.socket_of(cpu));
    config.swap.slots = platform.policy.swap_slots;
    config.swap.device = platform.policy.swap_device;
    config.memcgs = static_cast<unsigned>(scenario.processes.size()) + 1;
    config.swap_cluster_max = platform.policy.swap_cluster_max;
    config.fault = scenario.injected_fault;
    return config;
}

}  // namespace

World::World(const Inputs& inputs, Platform& machine, const Programs& programs)
    : in_(inputs),
      machine_(machine),
      programs_(programs),
      processes_(in_.scenario, in_.platform.topology),
      memory_(layout()),
      calls_(in_.platform.topology.cores(), memory_, ack_order(in_.scenario.injected_fault)),
      flush_(flush_config(in_.platform, in_.scenario, memory_.allocate_frame()), memory_, calls_),
      kernel_(kernel_config(in_.platform, in_.scenario), memory_, flush_, chain_),
      rendezvous_(memory_, users(), static_cast<unsigned>(in_.scenario.operations.size())),
      running_mm_(machine.cores(), nullptr),
      task_name_(machine.cores(), "idle") {
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) {
        setup_cpus_.push_back(
            std::make_unique<SetupCpu>(cpu, machine_.memory().backdoor(), in_.platform.costs));
        setup(cpu).current = &setup_task_;
    }
    processes_.set_up(kernel_, [this](CpuId cpu) -> rmap::Cpu& { return setup(cpu); });
    set_up_clients();
    set_up_guests();
    set_up_devices();
    set_up_threads();
    set_up_operations();
    boot();
}

/// The kernel's own memory comes first on node 0; the rest of all nodes is for pages.
rmap::MemoryLayout World::layout() const {
    const auto& topology = in_.platform.topology;
    rmap::MemoryLayout layout;
    layout.cpus = topology.cores();
    for (unsigned node = 0; node < topology.sockets; ++node)
        layout.nodes.push_back({{node * topology.frames_per_node}, topology.frames_per_node});
    std::uint64_t file_pages = 0;
    for (const auto& region : in_.scenario.regions) file_pages += region.pages;
    // Besides what is needed at run time: set-up makes its objects where the processes run, and an
    // mm for each CPU whose operation has no process.
    layout.slab_lines += processes_.slab_lines() + rmap::Mm::kLines;
    layout.reserved_frames = rmap::KernelMemory::fixed_frames(layout) + kSpareFrames +
                             (in_.platform.policy.swap_slots + file_pages) / 512 +
                             Guests::frames_for(in_.scenario, processes_) +
                             SharedVirtualMemory::frames_for(in_.platform);
    const std::uint64_t first = layout.reserved_first.value + layout.reserved_frames;
    // Page tables and copies need room as well.
    const std::uint64_t needed =
        processes_.pages() + processes_.pages() / 64 + processes_.children() + 256;
    if (first + needed > layout.nodes.size() * topology.frames_per_node)
        throw UserError(fmt::format(
            "topology.memory_mib_per_node is too small: the regions need {} MiB, the kernel {} MiB",
            needed * rmap::kPageSize >> 20, first * rmap::kPageSize >> 20));
    if (first >= topology.frames_per_node)
        throw UserError(fmt::format(
            "topology.memory_mib_per_node is too small: the kernel's own memory takes {} MiB",
            first * rmap::kPageSize >> 20));
    layout.nodes[0] = {{first}, topology.frames_per_node - first};
    return layout;
}

// ---- secondary MMUs ----

void World::register_client(const Process& process, notifiers::NotifierClient& client) {
    chain_.register_client(process.mm->context.id, client);
    watched_.push_back(process.mm->context.id);
}

void World::set_up_clients() {
    for (auto& process : processes_.all()) {
        const WatchedBy watcher = process.config->watched_by;
        if (watcher == WatchedBy::kNobody) continue;
        notifiers::RecordingClient::Config config;
        config.name = process.mm->name;
        config.id = watched_.size();
        config.needs_sleep = watcher == WatchedBy::kSleeper;
        auto& recorder = recorders_.emplace_back(config, memory_);
        register_client(process, recorder);
        record_regions(process, recorder);
    }
}

/// The client has used all that is mapped when the run begins.
void World::record_regions(const Process& process, notifiers::RecordingClient& recorder) {
    rmap::Cpu& cpu = setup(process.first_cpu);
    const rmap::MmId mm = process.mm->context.id;
    const std::uint64_t sequence = recorder.sequence(cpu, mm);
    for (const Region* region : processes_.regions_of(process.config->name))
        for (const auto& range : region->ranges)
            for (auto page = range.start; page < range.end; page = page + rmap::kPageSize)
                recorder.record_access(cpu, mm, page, sequence);
}

SetupContext World::setup_context() {
    return {in_.platform, in_.scenario, in_.options.seed, machine_,
            processes_,   memory_,      rendezvous_};
}

void World::set_up_guests() {
    guests_.set_up(setup_context(), watched_.size(), calls_, kernel_);
    for (auto& guest : guests_.all()) {
        register_client(*guest.process, *guest.client);
        for (std::size_t n = 0; n < guest.programs.size(); ++n) {
            notifiers::KvmVcpu& vcpu = guest.kvm->vcpus[n];
            flush_.switch_mm(setup(vcpu.cpu), &guest.process->mm->context);
            running_mm_[vcpu.cpu] = guest.process->mm;
            task_name_[vcpu.cpu] = guest.process->mm->name;
            programs_.cores[vcpu.cpu]->run_job(
                [this, &vcpu, &guest, n](models::CoreModule&, rmap::Cpu& cpu) {
                    const auto stop = notifiers::vcpu_run(cpu, *guest.kvm, vcpu, guest.programs[n]);
                    MMUSIM_CHECK(stop == notifiers::VcpuStop::kHalted,
                                 "a guest accesses only what its process has mapped");
                    // Its thread sleeps; the idle task borrows the address space.
                    flush_.enter_lazy_tlb(cpu);
                });
        }
    }
}

void World::set_up_devices() {
    shared_memory_.set_up(setup_context(), watched_.size(), setup(0), programs_.devices);
    for (auto& binding : shared_memory_.bindings())
        register_client(*binding.process, *binding.client);
}

// ---- threads ----

bool World::runs_operation(CpuId cpu) const {
    const auto& all = in_.scenario.operations;
    return std::any_of(all.begin(), all.end(),
                       [&](const OperationConfig& operation) { return operation.cpu == cpu; });
}

/// Those who answer when an operation asks for a touch.
unsigned World::users() const {
    unsigned users = 0;
    for (const auto& process : in_.scenario.processes)
        for (unsigned n = 0; n < process.count; ++n)
            for (unsigned thread = 0; thread < process.threads; ++thread)
                users += !runs_operation(process.first_cpu +
                                         n * (process.threads + process.lazy_threads) + thread);
    users += Guests::vcpus(in_.platform, in_.scenario);
    users += static_cast<unsigned>(in_.scenario.dmas.size());
    return users;
}

void World::set_up_threads() {
    for (const auto& process : processes_.all()) {
        const auto& config = *process.config;
        for (CpuId cpu = process.first_cpu; cpu < process.first_cpu + config.threads; ++cpu)
            set_up_thread(process, cpu);
        const CpuId first_lazy = process.first_cpu + config.threads;
        for (CpuId cpu = first_lazy; cpu < first_lazy + config.lazy_threads; ++cpu) {
            flush_.switch_mm(setup(cpu), &process.mm->context);
            flush_.enter_lazy_tlb(setup(cpu));
        }
    }
}

void World::set_up_thread(const Process& process, CpuId cpu) {
    flush_.switch_mm(setup(cpu), &process.mm->context);
    running_mm_[cpu] = process.mm;
    task_name_[cpu] = process.mm->name;
    if (runs_operation(cpu)) return;
    const auto& config = *process.config;
    MemoryUse use = processes_.memory_use(config.name, config.pattern, config.write_percent,
                                          thread_seed(in_.options.seed, cpu));
    use.limit = config.accesses;
    UserThread& thread =
        threads_.emplace_back(*process.mm, std::move(use), config.access, rendezvous_, kernel_);
    programs_.cores[cpu]->run_job(
        [&thread](models::CoreModule& core, rmap::Cpu& on) { thread.run(core, on); });
}

// ---- hand-over to the cores ----

void World::boot() {
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) {
        auto& core = machine_.core(cpu);
        auto& mechanism = machine_.mechanism(cpu);
        tracers_.push_back(std::make_unique<Tracer>(core, in_.observers));
        cpus_.push_back(std::make_unique<rmap::Cpu>(
            cpu,
            rmap::Cpu::Ports{core.time(), core, mechanism, mechanism, *tracers_.back(),
                             core.account(), machine_.iommu_port(cpu)},
            in_.platform.costs));
        CoreProgram::Kernel kernel;
        kernel.cpu = cpus_.back().get();
        kernel.calls = &calls_;
        kernel.cr3 = setup_cpus_[cpu]->cr3();
        kernel.task.name = task_name_[cpu];
        kernel.task.mm = running_mm_[cpu];
        programs_.cores[cpu]->boot(std::move(kernel));
    }
    kernel_.state().vm_events.reset();
    // The record of a run says from the beginning which address spaces are watched.
    for (std::uint64_t client = 0; client < watched_.size(); ++client)
        tracers_.front()->emit(0, rmap::Event::kMnRegister, {client, watched_[client]});
}

// ---- reports ----

rmap::X86FlushStats World::flush_stats() const {
    rmap::X86FlushStats total;
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) total += flush_.stats(cpu);
    return total;
}

rmap::ReclaimStats World::reclaim_stats() const {
    rmap::ReclaimStats total;
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) total += kernel_.reclaim_stats(cpu);
    return total;
}

std::uint64_t World::event_count(rmap::Event event) const {
    std::uint64_t total = 0;
    for (const auto& tracer : tracers_) total += tracer->counts()[static_cast<std::size_t>(event)];
    return total;
}

std::map<std::string, std::map<std::string, std::uint64_t>> World::memory_of_processes() {
    constexpr std::uint64_t kKbPerPage = rmap::kPageSize / 1024;
    std::map<std::string, std::map<std::string, std::uint64_t>> result;
    for (const auto& process : processes_.all()) {
        auto& rows = result[process.mm->name];
        kernel_.status(setup(process.first_cpu), *process.mm)
            .visit([&](const std::string& name, std::uint64_t pages) {
                rows[name + "_kb"] = pages * kKbPerPage;
            });
        const auto events = kernel_.vm_events(process.mm->memcg);
        for (std::size_t i = 0; i < rmap::kVmEvents; ++i)
            rows["memcg_" + std::string(rmap::kVmEventTable[i].name)] = events[i];
    }
    return result;
}

}  // namespace mmusim::platform
