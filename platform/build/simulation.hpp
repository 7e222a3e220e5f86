// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// Lets simulated time pass: until nothing happens any more or, if given, for `limit` at most.
/// Throws rmap::InvariantError with what SystemC reports as an error. Not from a process.
void run_simulation(std::optional<rmap::Duration> limit = std::nullopt);

}  // namespace mmusim::platform
