// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "rmap/ports/cpu.hpp"
#include "rmap/types/cpu_mask.hpp"

namespace mmusim::rmap {

/// What the time of a call on other CPUs goes to, at the CPU that waits for them.
struct CallParts {
    Part send = Part::kIpiSend;
    Part delivery = Part::kIpiDelivery;  ///< on its way to the target that finishes last
    Part irq_off = Part::kIrqOff;        ///< that target cannot take it yet
    Part handler = Part::kHandler;
    Part ack = Part::kAck;
};

/// smp_call_function_many() with wait=1 (kernel/smp.c).
class CallFunctionPort {
public:
    /// Runs on the target with interrupts off.
    using Function = std::function<void(Cpu&)>;

    virtual ~CallFunctionPort() = default;

    /// Runs the function on every CPU of `targets` but this one and returns when all have done so.
    /// Interrupts are on, or two CPUs that call each other would wait for ever. Returns the number
    /// of interrupts: a target that is about to serve earlier calls needs none.
    virtual unsigned call_many(Cpu& cpu, const CpuMask& targets, const Function& function,
                               const CallParts& parts) = 0;
};

}  // namespace mmusim::rmap
