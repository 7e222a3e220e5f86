// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/config/platform_config.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// The least time after which one agent can notice something of another, by kind.
struct LookaheadRow {
    std::string kind;  ///< "memory", "interrupt", "invalidation"
    rmap::Duration time;
    std::string key;   ///< of the platform, that sets it
    std::string from;  ///< the closest pair of agents; equal on a machine with one core
    std::string to;
};

/// One of each kind that the machine has: memory, interrupt, invalidation.
std::vector<LookaheadRow> lookaheads(const PlatformConfig& platform);

/// The least one: the largest quantum that changes nothing.
LookaheadRow exact_quantum(const PlatformConfig& platform);

}  // namespace mmusim::platform
