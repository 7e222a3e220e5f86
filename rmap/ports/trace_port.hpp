// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/event.hpp"

namespace mmusim::rmap {

/// Where events go. Emitting takes no simulated time.
class TracePort {
public:
    virtual ~TracePort() = default;

    /// Records `event` at the calling actor's local time; `operation` caused it, 0 = none.
    virtual void emit(OperationId operation, Event event, const EventArguments& arguments) = 0;
};

}  // namespace mmusim::rmap
