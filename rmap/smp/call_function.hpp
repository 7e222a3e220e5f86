// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "rmap/ports/call_function_port.hpp"
#include "rmap/ports/line_allocator.hpp"

namespace mmusim::rmap {

inline constexpr Vector kCallFunctionSingleVector = 0xfb;  ///< CALL_FUNCTION_SINGLE_VECTOR
inline constexpr Vector kCallFunctionVector = 0xfc;        ///< CALL_FUNCTION_VECTOR

/// The acknowledgements that one initiator waits for. Completes when the last one is visible to
/// it, with the stages of the target that sent that one. Maximum and count commute, so the order
/// in which the targets report on the host does not matter; nobody may look at it in between.
class Acknowledgements {
public:
    struct Report {
        CpuId target = 0;
        Instant arrived;  ///< the interrupt reached the target
        Instant entered;  ///< its handler began
        Instant done;     ///< the acknowledgement was stored
        Instant visible;  ///< the initiator can see it
    };

    /// Belongs to the initiator, whose time is `initiator`.
    Acknowledgements(TimePort& initiator, unsigned targets, const CallParts& parts)
        : all_(initiator), parts_(parts), outstanding_(targets) {}

    /// Called once by each target. Among several last ones the lowest CPU is to blame.
    void report(const Report& report);

    Completion& all() { return all_; }

private:
    Completion all_;
    const CallParts parts_;
    unsigned outstanding_;
    Report last_;
};

enum class AckOrder { kAfterFunction, kBeforeFunction };

/// Calls on other CPUs (kernel/smp.c): per CPU a queue of calls, whose head word is in simulated
/// memory; an interrupt goes only to CPUs whose queue was empty.
class CallFunction final : public CallFunctionPort {
public:
    /// Takes one line per CPU: call_single_queue.
    CallFunction(unsigned cpus, LineAllocator& lines, AckOrder order);
    CallFunction(const CallFunction&) = delete;
    CallFunction& operator=(const CallFunction&) = delete;

    unsigned call_many(Cpu& cpu, const CpuMask& targets, const Function& function,
                       const CallParts& parts) override;

    /// generic_smp_call_function_interrupt(): runs what is queued for this CPU. The queue may be
    /// empty, because an earlier interrupt already served the call. Called right at handler entry,
    /// local time not before the arrival, interrupts off; the time counts as an interrupt's.
    void handle_interrupt(Cpu& cpu, const TakenInterrupt& interrupt);

    /// Call-function interrupts that a CPU has sent, counted by target, and taken. For reports.
    std::uint64_t sent(CpuId cpu) const { return queues_.at(cpu).sent; }
    std::uint64_t received(CpuId cpu) const { return queues_.at(cpu).received; }

private:
    /// call_single_data_t
    struct Call {
        Function function;
        OperationId cause = 0;
        CpuId initiator = 0;
        Acknowledgements* acknowledgements = nullptr;
    };
    struct Queue {
        PhysAddr head;               ///< word: number of calls; guards `waiting`
        std::vector<Call> waiting;   ///< touched only inside operations on `head`
        std::vector<Call> detached;  ///< the owning CPU's own
        std::uint64_t sent = 0;      ///< likewise
        std::uint64_t received = 0;  ///< likewise
    };
    enum class Was { kEmpty, kOccupied };

    Was push(Cpu& cpu, CpuId target, const Call& call, Part part);
    void detach_all(Cpu& cpu);
    static void acknowledge(Cpu& cpu, const Call& call, Instant arrived, Instant entered);

    std::vector<Queue> queues_;
    const AckOrder order_;
};

}  // namespace mmusim::rmap
