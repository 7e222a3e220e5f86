// SPDX-License-Identifier: Apache-2.0
#include "platform/report/latency_histogram.hpp"

namespace mmusim::platform {
namespace {

/// The value of that rank when all are in ascending order; ranks begin with 1.
rmap::Duration ranked(const std::map<std::uint64_t, std::uint64_t>& counts, std::uint64_t rank) {
    for (const auto& [ps, count] : counts) {
        if (rank <= count) return {ps};
        rank -= count;
    }
    return {};
}

}  // namespace

void LatencyHistogram::empty(Slot& slot, std::uint64_t ps) {
    if (slot.count > 0) old_[slot.ps] += slot.count;
    slot = {ps, 0};
}

std::map<std::uint64_t, std::uint64_t> LatencyHistogram::counts() const {
    auto counts = old_;
    for (const auto& slot : slots_)
        if (slot.count > 0) counts[slot.ps] += slot.count;
    return counts;
}

LatencyStats LatencyHistogram::stats() const {
    const auto all = counts();
    LatencyStats stats;
    for (const auto& [ps, count] : all) {
        stats.count += count;
        stats.sum += {ps * count};
    }
    if (stats.count == 0) return stats;
    const auto percentile = [&](std::uint64_t percent) {
        return ranked(all, nearest_rank(stats.count, percent));
    };
    stats.mean = {(stats.sum.ps + stats.count / 2) / stats.count};
    stats.p50 = percentile(50);
    stats.p90 = percentile(90);
    stats.p99 = percentile(99);
    stats.max = percentile(100);
    return stats;
}

}  // namespace mmusim::platform
