// SPDX-License-Identifier: Apache-2.0
#include "platform/report/latency_histogram.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "tests/support/print_types.hpp"

namespace mmusim::platform {
namespace {

TEST_CASE("latency histogram: is as exact as the list of all latencies", "[unit][report]") {
    std::mt19937_64 random(3);
    LatencyHistogram histogram;
    OperationStats all;
    for (int n = 0; n < 20'000; ++n) {
        // Many values share a slot, and some come again and again.
        const std::uint64_t ps = n % 3 == 0 ? 400 : (random() % 2000) * 768;
        histogram.add({ps});
        all.latency_ps.push_back(ps);
        all.parts.by_part[0] += {ps};
    }
    const LatencyStats expected = latency_stats(all);
    const LatencyStats seen = histogram.stats();
    CHECK(seen.count == expected.count);
    CHECK(seen.sum == expected.sum);
    CHECK(seen.mean == expected.mean);
    CHECK(seen.p50 == expected.p50);
    CHECK(seen.p90 == expected.p90);
    CHECK(seen.p99 == expected.p99);
    CHECK(seen.max == expected.max);
    for (const auto& [ps, count] : histogram.counts()) {
        const auto& list = all.latency_ps;
        CHECK(count == static_cast<std::uint64_t>(std::count(list.begin(), list.end(), ps)));
    }
}

TEST_CASE("latency histogram: many at once are as many one by one", "[unit][report]") {
    LatencyHistogram histogram;
    histogram.add({100}, 99);
    histogram.add({700});
    CHECK(histogram.stats().p99 == rmap::Duration{100});
    CHECK(histogram.stats().max == rmap::Duration{700});
    CHECK(histogram.counts() == std::map<std::uint64_t, std::uint64_t>{{100, 99}, {700, 1}});
    CHECK(LatencyHistogram().stats().count == 0);
    CHECK(LatencyHistogram().counts().empty());
}

}  // namespace
}  // namespace mmusim::platform
