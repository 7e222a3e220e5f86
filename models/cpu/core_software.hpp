// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/interrupt_port.hpp"

namespace mmusim::models {

class CoreModule;

/// What runs on a core: the only thing hardware knows of a kernel.
class CoreSoftware {
public:
    virtual ~CoreSoftware() = default;

    /// The core's program, from reset to the halt after which it serves interrupts only.
    virtual void run(CoreModule& core) = 0;

    /// An interrupt is taken at an instruction boundary; interrupts are off until it returns.
    virtual void handle_interrupt(CoreModule& core, const rmap::TakenInterrupt& interrupt) = 0;
};

}  // namespace mmusim::models
