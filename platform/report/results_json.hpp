// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "platform/config/load_config.hpp"
#include "platform/report/run_result.hpp"

namespace mmusim::platform {

/// What hazards of the kernel mean for the printed verdict and for the exit code.
enum class HazardsCount { kApart, kAsViolations };

/// A run as the reports need it.
struct FinishedRun {
    const LoadedConfig& config;
    std::uint64_t seed;
    const RunResult& result;
    HazardsCount hazards_count = HazardsCount::kApart;
};

/// results.json: names and order are stable, every time is exact (ns with up to three decimals, so
/// that parts_ns adds up to latency_ns.sum as decimals), nothing in it depends on the host or on a
/// quantum that is exact. Throws InvariantError when parts and latencies disagree.
nlohmann::ordered_json results_json(const FinishedRun& run);

/// Its part "oracle".
nlohmann::ordered_json oracle_json(const OracleReport& oracle);

}  // namespace mmusim::platform
