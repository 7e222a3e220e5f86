// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "rmap/flush/flush_tlb_info.hpp"
#include "rmap/ports/cpu.hpp"
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
    Acknowledgements(TimePort& initiator, unsigned targets)
        : all_(initiator), outstanding_(targets) {}

    /// Called once by each target. Among several last ones the lowest CPU is to blame.
    void report(const Report& report);

    Completion& all() { return all_; }

private:
    Completion all_;
    unsigned outstanding_;
    Report last_;
};

enum class AckOrder { kAfterFunction, kBeforeFunction };

/// smp_call_function_many() with wait=1 (kernel/smp.c): per CPU a queue of calls, whose head word
/// is in simulated memory; an interrupt goes only to CPUs whose queue was empty.
class CallFunction {
public:
    /// Runs on the target with interrupts off.
    using Function = std::function<void(Cpu&, const FlushTlbInfo&)>;

    CallFunction(unsigned cpus, LineAllocator& lines, AckOrder order, Function function);
    CallFunction(const CallFunction&) = delete;
    CallFunction& operator=(const CallFunction&) = delete;

    /// Runs the function on every CPU of `targets` but this one and waits for all of them. Time
    /// passes: Part::kIpiSend, then the stages of the target that finishes last. Interrupts are
    /// on, or two CPUs that call each other would wait for ever. Returns the number of interrupts.
    unsigned call_many(Cpu& cpu, const CpuMask& targets, const FlushTlbInfo& info);

    /// generic_smp_call_function_interrupt(): runs what is queued for this CPU. The queue may be
    /// empty, because an earlier interrupt already served the call.
    void handle_interrupt(Cpu& cpu, const TakenInterrupt& interrupt);

private:
    /// call_single_data_t
    struct Call {
        FlushTlbInfo info;
        OperationId cause = 0;
        CpuId initiator = 0;
        Acknowledgements* acknowledgements = nullptr;
    };
    struct Queue {
        PhysAddr head;               ///< word: number of calls; guards `waiting`
        std::vector<Call> waiting;   ///< touched only inside operations on `head`
        std::vector<Call> detached;  ///< the owning CPU's own
    };
    enum class Was { kEmpty, kOccupied };

    Was push(Cpu& cpu, CpuId target, const Call& call);
    void detach_all(Cpu& cpu);
    static void acknowledge(Cpu& cpu, const Call& call, Instant arrived, Instant entered);

    std::vector<Queue> queues_;
    const AckOrder order_;
    const Function function_;
};

}  // namespace mmusim::rmap
