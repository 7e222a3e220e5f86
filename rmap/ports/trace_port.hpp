// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/event.hpp"

namespace mmusim::rmap {

/// Where events go. Emitting takes no simulated time and never fails.
class TracePort {
public:
    virtual ~TracePort() = default;

    /// Records `event` at the calling actor's local time, for its innermost operation.
    virtual void emit(Event event, const EventArguments& arguments) = 0;
};

}  // namespace mmusim::rmap
