// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/config/platform_config.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// The least time after which one core can notice something of another, by kind.
struct LookaheadRow {
    std::string kind;  ///< "memory", "interrupt"
    rmap::Duration time;
    std::string key;      ///< of the platform, that sets it
    unsigned core_a = 0;  ///< the closest pair of cores; equal on a machine with one core
    unsigned core_b = 0;
};

/// One of each kind: memory, interrupt.
std::vector<LookaheadRow> lookaheads(const PlatformConfig& platform);

/// The least one: the largest quantum that changes nothing.
LookaheadRow exact_quantum(const PlatformConfig& platform);

}  // namespace mmusim::platform
