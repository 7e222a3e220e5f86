// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rmap/types/time.hpp"

namespace mmusim::platform {

enum class Oracle { kOn, kOff };

/// What the command line adds to a platform and a scenario.
struct RunOptions {
    std::uint64_t seed = 1;
    std::optional<rmap::Duration> quantum;  ///< none: the exact one, computed from the platform
    Oracle oracle = Oracle::kOn;
    std::string event_log;  ///< path of the JSONL event log; empty = none
};

}  // namespace mmusim::platform
