// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "platform/report/run_result.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

struct LatencyStats {
    std::uint64_t count = 0;
    rmap::Duration sum;
    rmap::Duration mean;  ///< to the nearest picosecond
    rmap::Duration p50;   ///< percentiles are values that occurred (nearest rank)
    rmap::Duration p90;
    rmap::Duration p99;
    rmap::Duration max;
};

/// The rank of a percentile among `count` values, at least one; 1 is the smallest.
std::uint64_t nearest_rank(std::uint64_t count, std::uint64_t percent);

/// Throws InvariantError when the parts do not add up to the latencies exactly.
LatencyStats latency_stats(const OperationStats& operation);

/// values[i] * units / divisor as whole numbers that add up to the rounded quotient of the sum:
/// rounded down, and what is missing given to the largest remainders, the first of equal ones.
std::vector<std::uint64_t> apportion(const std::vector<std::uint64_t>& values, std::uint64_t units,
                                     std::uint64_t divisor);

}  // namespace mmusim::platform
