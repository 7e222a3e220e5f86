// SPDX-License-Identifier: Apache-2.0
#include "platform/run/world.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/config/config_error.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::CpuId;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

constexpr VirtAddr kFirstRegion{0x100000000000};
constexpr std::uint64_t kRegionStride = 1ull << 36;
constexpr std::uint64_t kTableSpan = 1ull << 21;  ///< ranges that share no page-table page
constexpr std::uint64_t kSpareFrames = 4096;      ///< for locks, page caches and mm words

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
    config.memcgs = static_cast<unsigned>(scenario.processes.size()) + 1;
    config.swap_cluster_max = platform.policy.swap_cluster_max;
    config.fault = scenario.injected_fault;
    return config;
}

/// A file is mapped by every process for itself.
Sharing sharing_of(const RegionConfig& region) {
    return region.kind == RegionKind::kFile ? Sharing::kPrivate : region.sharing;
}

/// Different generators for different threads of one run and for different seeds.
std::uint64_t thread_seed(std::uint64_t seed, CpuId cpu) {
    return seed * 0x9e3779b97f4a7c15ull + (std::uint64_t{cpu} << 32 | (cpu + 1));
}

}  // namespace

World::World(const Inputs& inputs, Platform& machine,
             const std::vector<std::unique_ptr<CoreProgram>>& programs)
    : in_(inputs),
      machine_(machine),
      programs_(programs),
      memory_(layout()),
      calls_(in_.platform.topology.cores(), memory_, ack_order(in_.scenario.injected_fault)),
      flush_(flush_config(in_.platform, in_.scenario, memory_.allocate_frame()), memory_, calls_),
      kernel_(kernel_config(in_.platform, in_.scenario), memory_, flush_, chain_),
      running_mm_(machine.cores(), nullptr),
      task_name_(machine.cores(), "idle") {
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) {
        setup_cpus_.push_back(
            std::make_unique<SetupCpu>(cpu, machine_.memory().backdoor(), in_.platform.costs));
        setup(cpu).current = &setup_task_;
    }
    set_up_regions();
    set_up_processes();
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
    // A mapping needs an anon_vma, one of the objects of a CPU's slab.
    for (const auto& operation : in_.scenario.operations)
        if (operation.type == OperationType::kMunmap) layout.slab_lines += 2 * operation.rounds;
    layout.reserved_frames = rmap::KernelMemory::fixed_frames(layout) + kSpareFrames +
                             (in_.platform.policy.swap_slots + file_pages) / 512;
    const std::uint64_t first = layout.reserved_first.value + layout.reserved_frames;
    // Page tables and copies need room as well.
    const std::uint64_t needed = pages_of_regions() + pages_of_regions() / 64 + 256;
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

std::uint64_t World::pages_of_regions() const {
    std::uint64_t pages = 0;
    for (const auto& region : in_.scenario.regions) {
        std::uint64_t copies = 1;
        for (const auto& operation : in_.scenario.operations)
            if (operation.type == OperationType::kMunmap && operation.region == region.name)
                copies = operation.rounds;
        for (const auto& process : in_.scenario.processes)
            if (process.name == region.process && region.kind == RegionKind::kAnon &&
                region.sharing == Sharing::kPrivate)
                copies *= process.count;
        pages += region.pages * copies;
    }
    return pages;
}

// ---- processes and their memory ----

void World::set_up_regions() {
    VirtAddr start = kFirstRegion;
    for (const auto& config : in_.scenario.regions) {
        Region region;
        region.config = &config;
        for (const auto& operation : in_.scenario.operations)
            if (operation.type == OperationType::kMunmap && operation.region == config.name)
                region.munmap = &operation;
        const std::uint64_t bytes = config.pages * rmap::kPageSize;
        const std::uint64_t span = (bytes + kTableSpan - 1) / kTableSpan * kTableSpan;
        const unsigned copies = region.munmap ? region.munmap->rounds : 1;
        for (unsigned copy = 0; copy < copies; ++copy) {
            const VirtAddr at = start + copy * span;
            region.ranges.push_back({at, at + bytes});
        }
        regions_.push_back(region);
        start = start + kRegionStride;
    }
}

void World::map_region(const Region& region, Process& process, rmap::AddressSpace* file) {
    const RegionConfig& config = *region.config;
    rmap::Populate how;
    how.access = config.written ? rmap::Access::kWrite : rmap::Access::kRead;
    how.accessed = config.young ? rmap::AccessedBits::kYoung : rmap::AccessedBits::kCleared;
    how.lru = config.active ? rmap::LruPlacement::kActive : rmap::LruPlacement::kInactive;
    rmap::Cpu& cpu = setup(process.first_cpu);
    std::uint64_t pgoff = 0;
    for (const VirtRange& range : region.ranges) {
        if (file)
            kernel_.mmap_file(cpu, *process.mm, range, *file, pgoff);
        else
            kernel_.mmap_anon(cpu, *process.mm, range);
        kernel_.populate(cpu, *process.mm, range, how);
        pgoff += config.pages;
    }
}

/// Processes of a group in turn. What they share by fork is mapped by the first of them, before it
/// has children.
void World::set_up_processes() {
    for (const auto& config : in_.scenario.processes) {
        std::map<std::string, rmap::AddressSpace*> files;
        const auto map_regions = [&](Sharing sharing, Process& process) {
            for (const auto& region : regions_) {
                if (region.config->process != config.name || sharing_of(*region.config) != sharing)
                    continue;
                auto*& file = files[region.config->name];
                if (region.config->kind == RegionKind::kFile && !file)
                    file = &kernel_.create_file(region.config->name,
                                                region.config->pages * region.ranges.size());
                map_region(region, process, file);
            }
        };
        const bool forks = std::any_of(regions_.begin(), regions_.end(), [&](const Region& r) {
            return r.config->process == config.name && sharing_of(*r.config) == Sharing::kFork;
        });
        Process* parent = nullptr;
        for (unsigned n = 0; n < config.count; ++n) {
            Process& process = processes_.emplace_back();
            process.config = &config;
            process.first_cpu =
                std::min(config.first_cpu + n * (config.threads + config.lazy_threads),
                         machine_.cores() - 1);
            const std::string name =
                config.count == 1 ? config.name : config.name + std::to_string(n);
            rmap::Cpu& cpu = setup(process.first_cpu);
            process.mm = parent && forks ? &kernel_.fork(cpu, *parent->mm, name)
                                         : &kernel_.create_mm(cpu, name, group_of(config.name));
            if (parent) continue;
            parent = &process;
            map_regions(Sharing::kFork, process);
        }
        for (Process* process : processes_of(config.name)) map_regions(Sharing::kPrivate, *process);
    }
    for (auto& process : processes_) {
        if (process.config->notifier)
            clients_.emplace_back(
                notifiers::RecordingClient::Config{process.mm->name, clients_.size()}, memory_);
        if (process.config->notifier)
            chain_.register_client(process.mm->context.id, clients_.back());
    }
}

std::vector<World::Process*> World::processes_of(const std::string& name) {
    std::vector<Process*> found;
    for (auto& process : processes_)
        if (process.config->name == name) found.push_back(&process);
    return found;
}

const World::Region& World::region_of(const std::string& name) const {
    const auto found = std::find_if(regions_.begin(), regions_.end(),
                                    [&](const Region& r) { return r.config->name == name; });
    MMUSIM_CHECK(found != regions_.end(), "an operation names an existing region");
    return *found;
}

/// Memory control group 0 is for everybody who is not part of the scenario.
unsigned World::group_of(const std::string& process) const {
    const auto& all = in_.scenario.processes;
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const ProcessConfig& p) { return p.name == process; });
    return static_cast<unsigned>(found - all.begin()) + 1;
}

// ---- threads ----

bool World::runs_operation(CpuId cpu) const {
    const auto& all = in_.scenario.operations;
    return std::any_of(all.begin(), all.end(),
                       [&](const OperationConfig& operation) { return operation.cpu == cpu; });
}

void World::set_up_threads() {
    unsigned threads = 0;
    for (const auto& process : processes_)
        for (unsigned n = 0; n < process.config->threads; ++n)
            threads += !runs_operation(process.first_cpu + n);
    rendezvous_ = std::make_unique<Rendezvous>(
        memory_, threads, static_cast<unsigned>(in_.scenario.operations.size()));

    for (const auto& process : processes_) {
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

    std::vector<VirtRange> accessed;  // what is unmapped is touched on request only
    std::vector<const Region*> touched;
    for (const auto& region : regions_) {
        if (region.config->process != process.config->name) continue;
        if (process.config->pattern != AccessPattern::kIdle) touched.push_back(&region);
        if (region.config->in_use && !region.munmap) accessed.push_back(region.ranges.front());
    }
    // The n-th request of a munmap is for its n-th buffer, the first one of each for all the rest.
    const auto touches = [touched, &operations = in_.scenario.operations](unsigned operation,
                                                                          std::uint64_t request) {
        std::vector<UserThread::Touch> result;
        for (const Region* region : touched) {
            if (region->munmap ? region->munmap != &operations[operation] : request > 1) continue;
            const auto access =
                region->config->written ? rmap::Access::kWrite : rmap::Access::kRead;
            result.push_back({region->ranges[region->munmap ? request - 1 : 0], access});
        }
        return result;
    };
    UserThread thread{process.mm,
                      AccessStream(accessed, process.config->pattern, process.config->write_percent,
                                   thread_seed(in_.options.seed, cpu)),
                      touches, process.config->access, process.config->accesses};
    programs_[cpu]->run_thread(std::move(thread));
}

// ---- hand-over to the cores ----

void World::boot() {
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) {
        auto& core = machine_.core(cpu);
        auto& mechanism = machine_.mechanism(cpu);
        tracers_.push_back(std::make_unique<Tracer>(core, in_.observers));
        cpus_.push_back(
            std::make_unique<rmap::Cpu>(cpu,
                                        rmap::Cpu::Ports{core.time(), core, mechanism, mechanism,
                                                         *tracers_.back(), core.account()},
                                        in_.platform.costs));
        CoreProgram::Kernel kernel;
        kernel.cpu = cpus_.back().get();
        kernel.kernel = &kernel_;
        kernel.calls = &calls_;
        kernel.rendezvous = rendezvous_.get();
        kernel.cr3 = setup_cpus_[cpu]->cr3();
        kernel.task.name = task_name_[cpu];
        kernel.task.mm = running_mm_[cpu];
        programs_[cpu]->boot(std::move(kernel));
    }
}

// ---- reports ----

rmap::X86FlushStats World::flush_stats() const {
    rmap::X86FlushStats total;
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) total += flush_.stats(cpu);
    return total;
}

std::uint64_t World::ipi_received() const {
    std::uint64_t total = 0;
    for (CpuId cpu = 0; cpu < machine_.cores(); ++cpu) total += calls_.received(cpu);
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
    for (const auto& process : processes_) {
        const auto status = kernel_.status(setup(process.first_cpu), *process.mm);
        result[process.mm->name] = {{"VmSize_kb", status.vm_size * kKbPerPage},
                                    {"VmHWM_kb", status.vm_hwm * kKbPerPage},
                                    {"VmRSS_kb", status.vm_rss * kKbPerPage},
                                    {"RssAnon_kb", status.rss_anon * kKbPerPage},
                                    {"RssFile_kb", status.rss_file * kKbPerPage},
                                    {"VmSwap_kb", status.vm_swap * kKbPerPage}};
    }
    return result;
}

}  // namespace mmusim::platform
