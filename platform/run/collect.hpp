// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/build/platform.hpp"
#include "platform/report/run_result.hpp"
#include "platform/run/world.hpp"

namespace mmusim::platform {

/// Fills in what the modules, the kernel and the accounts of all cores have counted. The oracle's
/// report and the quantum's are the caller's.
void collect(Platform& platform, World& world, RunResult& result);

}  // namespace mmusim::platform
