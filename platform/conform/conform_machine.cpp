// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/conform_machine.hpp"

#include <systemc>

#include "platform/build/simulation.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::CpuId;

namespace {

/// For objects that are made while the replay runs, of which none is ever given back.
constexpr std::uint64_t kSlabLines = 1 << 14;
constexpr std::uint64_t kSpareFrames = 1 << 13;
/// The captured program binds its memory, and that of its children, to this node (MPOL_BIND).
constexpr rmap::NodeId kBoundNode = 0;
/// More than the exact quantum, so that nobody has gone past it.
constexpr std::uint64_t kKnockNs = 10000;
/// Simulated; whoever polls for something that never comes does so for ever.
constexpr rmap::Duration kPatience = rmap::nanoseconds(100'000'000);

rmap::MemoryLayout layout_of(const PlatformConfig& platform, std::uint64_t swap_slots) {
    const auto& topology = platform.topology;
    rmap::MemoryLayout layout;
    layout.cpus = topology.cores();
    layout.slab_lines = kSlabLines;
    for (unsigned node = 0; node < topology.sockets; ++node)
        layout.nodes.push_back({{node * topology.frames_per_node}, topology.frames_per_node});
    layout.reserved_frames =
        rmap::KernelMemory::fixed_frames(layout) + kSpareFrames + swap_slots / 512;
    const std::uint64_t first = layout.reserved_first.value + layout.reserved_frames;
    MMUSIM_CHECK(first < topology.frames_per_node, "the kernel's own memory fits into node 0");
    layout.nodes[0] = {{first}, topology.frames_per_node - first};
    return layout;
}

}  // namespace

/// What a core runs: its program, and the interrupts that it takes meanwhile.
class ConformMachine::Software final : public models::CoreSoftware {
public:
    Software(CpuId cpu, const Interrupted& interrupted) : cpu_(cpu), interrupted_(interrupted) {}

    std::function<void(models::CoreModule&)> program;

    void run(models::CoreModule& core) override { program(core); }
    void handle_interrupt(models::CoreModule&, const rmap::TakenInterrupt& taken) override {
        interrupted_(cpu_, taken);
    }

private:
    const CpuId cpu_;
    const Interrupted interrupted_;
};

class ConformMachine::Trace final : public rmap::TracePort {
public:
    Trace(CpuId cpu, const Emitted& emitted) : cpu_(cpu), emitted_(emitted) {}

    void emit(rmap::OperationId, rmap::Event event,
              const rmap::EventArguments& arguments) override {
        emitted_(cpu_, event, arguments);
    }

private:
    const CpuId cpu_;
    const Emitted emitted_;
};

ConformMachine::ConformMachine(const Options& options) {
    const auto& platform = options.platform;
    const unsigned cpus = platform.topology.cores();
    for (CpuId cpu = 0; cpu < cpus; ++cpu)
        software_.push_back(std::make_unique<Software>(cpu, options.interrupted));

    Platform::Options build;
    build.lookahead = lookahead_of(platform);
    machine_ = std::make_unique<Platform>(
        platform, build,
        Platform::Software{[this](CpuId cpu) -> models::CoreSoftware& { return *software_[cpu]; },
                           [](std::size_t) -> models::DeviceProgram& {
                               MMUSIM_CHECK(false, "the captured machine has no devices");
                           }});

    memory_ = std::make_unique<rmap::KernelMemory>(layout_of(platform, options.swap.slots));
    calls_ = std::make_unique<rmap::CallFunction>(cpus, *memory_, rmap::AckOrder::kAfterFunction);
    rmap::X86FlushConfig flush;
    flush.cpus = cpus;
    flush.single_page_flush_ceiling = platform.policy.single_page_flush_ceiling;
    flush.pcid = platform.policy.pcid ? rmap::PcidMode::kOn : rmap::PcidMode::kOff;
    flush.init_pgd = memory_->allocate_frame();
    flush_ = std::make_unique<rmap::X86Flush>(flush, *memory_, *calls_);

    rmap::KernelConfig kernel;
    kernel.node_of_cpu.assign(cpus, kBoundNode);
    kernel.swap = options.swap;
    kernel.memcgs = options.memcgs;
    kernel.swap_cluster_max = platform.policy.swap_cluster_max;
    kernel_ = std::make_unique<rmap::Kernel>(kernel, *memory_, *flush_, chain_);

    tasks_.resize(cpus);
    for (CpuId cpu = 0; cpu < cpus; ++cpu) {
        auto& core = machine_->core(cpu);
        auto& mechanism = machine_->mechanism(cpu);
        traces_.push_back(std::make_unique<Trace>(cpu, options.emitted));
        cpus_.push_back(std::make_unique<rmap::Cpu>(
            cpu,
            rmap::Cpu::Ports{core.time(), core, mechanism, mechanism, *traces_.back(),
                             core.account(), machine_->iommu_port(cpu)},
            platform.costs));
        cpus_.back()->current = &tasks_[cpu];
    }
}

ConformMachine::~ConformMachine() = default;

void ConformMachine::interrupt(rmap::Cpu& from, CpuId to, rmap::Vector vector) {
    auto& time = machine_->core(from.id()).time();
    const auto arrival = from.now() + rmap::nanoseconds(kKnockNs);
    machine_->core(to).time().post_interrupt(time.next_key(arrival), vector, 0);
}

void ConformMachine::run(const Program& program, const std::function<std::size_t()>& progress) {
    for (CpuId cpu = 0; cpu < cpus(); ++cpu)
        software_[cpu]->program = [this, &program, cpu](models::CoreModule& core) {
            program(core, *cpus_[cpu]);
        };
    std::size_t before = 0;
    do {
        before = progress();
        run_simulation(kPatience);
    } while (!machine_->failure() && sc_core::sc_pending_activity() && progress() != before);
    if (const auto failure = machine_->failure()) std::rethrow_exception(failure);
}

}  // namespace mmusim::platform
