// SPDX-License-Identifier: Apache-2.0
#include "tests/support/plain_machine.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::test {

using rmap::CpuId;
using rmap::CpuMask;
using rmap::Duration;
using rmap::Interrupts;
using rmap::MmContext;
using rmap::PhysAddr;

namespace {

/// Above any frame that a test numbers by hand.
constexpr PhysAddr kFirstLine{1ull << 40};

}  // namespace

rmap::KernelCosts distinct_kernel_costs() {
    rmap::KernelCosts costs;
    std::uint64_t ns = 100;
    rmap::KernelCosts::visit(
        [&](const char*, Duration& cost, const char*) { cost = rmap::nanoseconds(ns++); }, costs);
    return costs;
}

PlainMachine::Node::Node(PlainMachine& machine, CpuId id)
    : account(id),
      time(id, account, machine.plain_costs_.visibility),
      memory(machine.words_, time),
      tlb(time, machine.plain_costs_.tlb_operation),
      interrupts(time, account, machine.plain_costs_.send_ipi),
      trace(machine.trace_, time, account),
      iommu(machine.iommu_, time),
      cpu(id, {time, memory, tlb, interrupts, trace, account, &iommu}, machine.costs_) {}

PlainMachine::PlainMachine(unsigned cpus, const PlainCosts& plain_costs)
    : plain_costs_(plain_costs), costs_(distinct_kernel_costs()), next_line_(kFirstLine) {
    words_.access_cost = plain_costs.memory_access;
    iommu_.tail_write = plain_costs.tail_write;
    iommu_.queue = plain_costs.iommu_queue;
    iommu_.invalidate = plain_costs.iommu_invalidate;
    iommu_.write_back = plain_costs.iommu_write_back;
    for (CpuId id = 0; id < cpus; ++id) nodes_.push_back(std::make_unique<Node>(*this, id));
}

PhysAddr PlainMachine::allocate_line() { return allocate_lines(1); }

rmap::FrameNumber PlainMachine::allocate_frame() {
    const rmap::FrameNumber frame = rmap::frame_of(next_line_ + (rmap::kPageSize - 1));
    next_line_ = address_of(frame + 1);
    return frame;
}

PhysAddr PlainMachine::allocate_lines(std::size_t count) {
    const PhysAddr first = next_line_;
    next_line_ = next_line_ + count * rmap::kLineSize;
    return first;
}

MmContext PlainMachine::make_context(rmap::MmId id, rmap::FrameNumber pgd) {
    const PhysAddr tlb_gen = allocate_line();
    return {id, pgd, tlb_gen, allocate_lines(CpuMask::kWords * 8 / rmap::kLineSize)};
}

CpuMask PlainMachine::cpumask(const MmContext& mm) {
    CpuMask mask;
    for (unsigned i = 0; i < CpuMask::kWords; ++i)
        mask.set_word(i, words_[mm.cpumask + 8 * i].value);
    return mask;
}

void PlainMachine::deliver_to(rmap::CallFunction& calls) {
    for (const auto& node : nodes_)
        node->interrupts.deliver = [this, &calls](const RecordingInterrupts::Sent& sent) {
            sent.targets.for_each([&](CpuId target) {
                take_interrupt(calls, target,
                               {sent.vector, sent.at + plain_costs_.ipi_delivery, sent.cause});
            });
        };
}

void PlainMachine::take_interrupt(rmap::CallFunction& calls, CpuId target,
                                  const rmap::TakenInterrupt& interrupt) {
    MMUSIM_CHECK(time(target).interrupts() == Interrupts::kOn,
                 "this bench cannot hold an interrupt back");
    time(target).idle_until(interrupt.arrived);
    const rmap::InterruptsOff handler(time(target));
    calls.handle_interrupt(cpu(target), interrupt);
}

}  // namespace mmusim::test
