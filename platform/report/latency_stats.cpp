// SPDX-License-Identifier: Apache-2.0
#include "platform/report/latency_stats.hpp"

#include <algorithm>
#include <numeric>

#include "rmap/types/check.hpp"

namespace mmusim::platform {
namespace {

rmap::Duration percentile(const std::vector<std::uint64_t>& sorted, std::uint64_t percent) {
    if (sorted.empty()) return {};
    return {sorted[nearest_rank(sorted.size(), percent) - 1]};
}

}  // namespace

std::uint64_t nearest_rank(std::uint64_t count, std::uint64_t percent) {
    return std::max<std::uint64_t>((count * percent + 99) / 100, 1);
}

LatencyStats latency_stats(const OperationStats& operation) {
    std::vector<std::uint64_t> sorted = operation.latency_ps;
    std::sort(sorted.begin(), sorted.end());
    LatencyStats stats;
    stats.count = sorted.size();
    stats.sum = {std::accumulate(sorted.begin(), sorted.end(), std::uint64_t{0})};
    MMUSIM_CHECK(operation.parts.sum() == stats.sum, "the parts of " +
                                                         std::string(rmap::name(operation.kind)) +
                                                         " do not add up to its latency");
    if (stats.count) stats.mean = {(stats.sum.ps + stats.count / 2) / stats.count};
    stats.p50 = percentile(sorted, 50);
    stats.p90 = percentile(sorted, 90);
    stats.p99 = percentile(sorted, 99);
    stats.max = percentile(sorted, 100);
    return stats;
}

std::vector<std::uint64_t> apportion(const std::vector<std::uint64_t>& values, std::uint64_t units,
                                     std::uint64_t divisor) {
    std::vector<std::uint64_t> result;
    std::vector<std::size_t> by_remainder(values.size());
    std::iota(by_remainder.begin(), by_remainder.end(), std::size_t{0});
    std::uint64_t sum = 0;
    std::uint64_t given = 0;
    for (const auto value : values) {
        result.push_back(value * units / divisor);
        given += result.back();
        sum += value;
    }
    const auto remainder = [&](std::size_t i) { return values[i] * units % divisor; };
    std::stable_sort(by_remainder.begin(), by_remainder.end(),
                     [&](std::size_t a, std::size_t b) { return remainder(a) > remainder(b); });
    const std::uint64_t target = (sum * units + divisor / 2) / divisor;
    for (std::size_t i = 0; i < values.size() && given < target; ++i, ++given)
        ++result[by_remainder[i]];
    return result;
}

}  // namespace mmusim::platform
