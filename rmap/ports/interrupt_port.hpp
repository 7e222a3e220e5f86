// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/cpu_mask.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/part.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::rmap {

using Vector = std::uint8_t;

/// An interrupt at the entry of its handler.
struct TakenInterrupt {
    Vector vector = 0;
    Instant arrived;        ///< when it reached the core; the handler may start later
    OperationId cause = 0;  ///< operation that was innermost at the sender
};

/// Sends interrupts from the calling core. Returns when the last interrupt-command write is done;
/// delivery is later and by itself.
class InterruptPort {
public:
    virtual ~InterruptPort() = default;

    /// One write per cluster of targets that the controller can address at once.
    virtual void send_ipi(const CpuMask& targets, Vector vector, Part part) = 0;
};

}  // namespace mmusim::rmap
