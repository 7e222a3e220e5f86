// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/observe/access_record.hpp"
#include "models/observe/settled_stream.hpp"
#include "platform/config/platform_config.hpp"
#include "platform/config/run_options.hpp"
#include "platform/config/scenario_config.hpp"
#include "platform/report/run_result.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::platform {

/// What tests look at besides the result.
struct RunProbes {
    models::AccessObserver* accesses = nullptr;  ///< every access, as the oracle sees it
    models::EventSink* events = nullptr;         ///< every event, in the one order
    std::vector<rmap::CpuId> creation_order;     ///< of the cores' processes; empty = ascending
    bool devices_first = false;                  ///< devices' processes are made before the cores'
};

/// Builds the machine, sets the scenario up, runs it to its end and reports. Once per process:
/// SystemC elaborates once. Throws InvariantError for a defect of the program, such as a core that
/// waits for ever, and UserError when a file cannot be written.
RunResult run_platform(const PlatformConfig& platform, const ScenarioConfig& scenario,
                       const RunOptions& options, const RunProbes& probes = {});

}  // namespace mmusim::platform
