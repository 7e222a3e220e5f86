// SPDX-License-Identifier: Apache-2.0
#include "rmap/smp/call_function.hpp"

#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

/// The account of a CPU while it works for somebody else's operation.
class WorkingFor {
public:
    WorkingFor(Cpu& cpu, OperationId cause) : account_(cpu.account()) {
        account_.enter_interrupt(cause);
    }
    ~WorkingFor() { account_.leave_interrupt(); }
    WorkingFor(const WorkingFor&) = delete;
    WorkingFor& operator=(const WorkingFor&) = delete;

private:
    Accountant& account_;
};

}  // namespace

void Acknowledgements::report(const Report& report) {
    MMUSIM_CHECK(outstanding_ > 0, "a call is acknowledged once");
    const bool later = report.visible > last_.visible;
    const bool tie = report.visible == last_.visible && report.target < last_.target;
    if (later || tie) last_ = report;
    if (--outstanding_ > 0) return;
    all_.stage(parts_.delivery, last_.arrived);
    all_.stage(parts_.irq_off, last_.entered);
    all_.stage(parts_.handler, last_.done);
    all_.complete(last_.visible);
}

CallFunction::CallFunction(unsigned cpus, LineAllocator& lines, AckOrder order)
    : queues_(cpus), order_(order) {
    for (Queue& queue : queues_) queue.head = lines.allocate_line();
}

unsigned CallFunction::call_many(Cpu& cpu, const CpuMask& targets, const Function& function,
                                 const CallParts& parts) {
    CpuMask others = targets;
    others.clear(cpu.id());
    const unsigned count = others.count();
    if (count == 0) return 0;

    Acknowledgements acknowledgements(cpu.time(), count, parts);
    const Call call{function, cpu.account().current(), cpu.id(), &acknowledgements};
    CpuMask interrupted;
    others.for_each([&](CpuId target) {
        cpu.spend(cpu.costs().call_function_queue, parts.send);
        if (push(cpu, target, call, parts.send) == Was::kEmpty) interrupted.set(target);
    });
    if (!interrupted.empty()) {
        const Vector vector = count == 1 ? kCallFunctionSingleVector : kCallFunctionVector;
        cpu.emit(Event::kIpiSend, {vector, interrupted.word(0)});
        cpu.interrupts().send_ipi(interrupted, vector, parts.send);
    }
    cpu.time().await(acknowledgements.all(), parts.ack);
    queues_.at(cpu.id()).sent += interrupted.count();
    return interrupted.count();
}

CallFunction::Was CallFunction::push(Cpu& cpu, CpuId target, const Call& call, Part part) {
    Queue& queue = queues_.at(target);
    Was was = Was::kEmpty;
    cpu.memory().read_modify_write(
        queue.head,
        [&](Word, Instant) {
            was = queue.waiting.empty() ? Was::kEmpty : Was::kOccupied;
            queue.waiting.push_back(call);
            return Word{queue.waiting.size(), 0};
        },
        part);
    return was;
}

void CallFunction::detach_all(Cpu& cpu) {
    Queue& queue = queues_.at(cpu.id());
    queue.detached.clear();
    cpu.memory().read_modify_write(
        queue.head,
        [&](Word, Instant) {
            queue.detached.swap(queue.waiting);
            return Word{0, 0};
        },
        Part::kHandler);
}

void CallFunction::acknowledge(Cpu& cpu, const Call& call, Instant arrived, Instant entered) {
    cpu.emit(Event::kCallFunctionAck, {call.initiator});
    // csd_unlock() is a store: the initiator's loop sees it a coherence latency later.
    const Instant visible = cpu.now() + cpu.time().visibility();
    call.acknowledgements->report({cpu.id(), arrived, entered, cpu.now(), visible});
}

void CallFunction::handle_interrupt(Cpu& cpu, const TakenInterrupt& interrupt) {
    const Instant entered = cpu.now();
    const bool single = interrupt.vector == kCallFunctionSingleVector;
    MMUSIM_CHECK(single || interrupt.vector == kCallFunctionVector,
                 "only call-function interrupts come here");

    ++queues_.at(cpu.id()).received;
    const WorkingFor sender(cpu, interrupt.cause);
    cpu.spend(cpu.costs().interrupt_entry, Part::kHandler);
    cpu.emit(single ? Event::kCallFunctionSingleEntry : Event::kCallFunctionEntry,
             {interrupt.vector});
    detach_all(cpu);
    for (const Call& call : queues_.at(cpu.id()).detached) {
        const WorkingFor initiator(cpu, call.cause);
        if (order_ == AckOrder::kBeforeFunction) acknowledge(cpu, call, interrupt.arrived, entered);
        call.function(cpu);
        if (order_ == AckOrder::kAfterFunction) acknowledge(cpu, call, interrupt.arrived, entered);
    }
    cpu.spend(cpu.costs().interrupt_exit, Part::kHandler);
}

}  // namespace mmusim::rmap
