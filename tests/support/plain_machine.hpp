// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "rmap/ports/flush_port.hpp"
#include "rmap/ports/frame_allocator.hpp"
#include "rmap/smp/call_function.hpp"
#include "tests/support/plain_ports.hpp"

namespace mmusim::test {

/// Costs of everything that is not the kernel's own code. All different and none a sum of others.
struct PlainCosts {
    rmap::Duration visibility = rmap::nanoseconds(50);
    rmap::Duration memory_access = rmap::nanoseconds(3);
    rmap::Duration tlb_operation = rmap::nanoseconds(7000);
    rmap::Duration send_ipi = rmap::nanoseconds(20000);
    rmap::Duration ipi_delivery = rmap::nanoseconds(500000);
    rmap::Duration tail_write = rmap::nanoseconds(1'000'000);
    rmap::Duration iommu_queue = rmap::nanoseconds(20'000'000);
    rmap::Duration iommu_invalidate = rmap::nanoseconds(300'000'000);
    rmap::Duration iommu_write_back = rmap::nanoseconds(5'000'000'000);
};

/// Every field another number of ns, from 100 upwards.
rmap::KernelCosts distinct_kernel_costs();

/// n CPUs over one memory and one trace, run by the test in one host thread.
class PlainMachine final : public rmap::FrameAllocator {
public:
    explicit PlainMachine(unsigned cpus, const PlainCosts& plain_costs = {});

    unsigned cpus() const { return static_cast<unsigned>(nodes_.size()); }
    rmap::Cpu& cpu(rmap::CpuId id) { return nodes_.at(id)->cpu; }
    PlainTime& time(rmap::CpuId id) { return nodes_.at(id)->time; }
    RecordingTlb& tlb(rmap::CpuId id) { return nodes_.at(id)->tlb; }
    const RecordingTlb& tlb(rmap::CpuId id) const { return nodes_.at(id)->tlb; }
    RecordingInterrupts& interrupts(rmap::CpuId id) { return nodes_.at(id)->interrupts; }
    rmap::Accountant& account(rmap::CpuId id) { return nodes_.at(id)->account; }
    RecordingTrace& trace() { return trace_; }
    const RecordingTrace& trace() const { return trace_; }
    PlainWords& memory() { return words_; }
    PlainIommu& iommu() { return iommu_; }
    rmap::KernelCosts& costs() { return costs_; }  ///< may be changed at any time
    const PlainCosts& plain_costs() const { return plain_costs_; }

    rmap::PhysAddr allocate_line() override;
    rmap::FrameNumber allocate_frame() override;
    /// Contiguous and zero.
    rmap::PhysAddr allocate_lines(std::size_t count);

    /// A context with fresh words: tlb_gen 0, no CPU in the mask.
    rmap::MmContext make_context(rmap::MmId id, rmap::FrameNumber pgd = {});
    rmap::CpuMask cpumask(const rmap::MmContext& mm);

    /// From now on send_ipi runs the handlers of the targets at once, in ascending order: every
    /// interrupt arrives ipi_delivery after it was sent, or when the target's time is later, is
    /// taken then. A target must have interrupts on.
    void deliver_to(rmap::CallFunction& calls);

    /// Runs the handler of one interrupt on `target`.
    void take_interrupt(rmap::CallFunction& calls, rmap::CpuId target,
                        const rmap::TakenInterrupt& interrupt);

private:
    struct Node {
        Node(PlainMachine& machine, rmap::CpuId id);

        rmap::Accountant account;
        PlainTime time;
        PlainMemory memory;
        RecordingTlb tlb;
        RecordingInterrupts interrupts;
        TraceOf trace;
        RecordingIommu iommu;
        rmap::Cpu cpu;
    };

    const PlainCosts plain_costs_;
    rmap::KernelCosts costs_;
    PlainWords words_;
    PlainIommu iommu_{words_};
    RecordingTrace trace_;
    rmap::PhysAddr next_line_;
    std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace mmusim::test
