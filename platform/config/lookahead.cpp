// SPDX-License-Identifier: Apache-2.0
#include "platform/config/lookahead.hpp"

#include <algorithm>
#include <utility>

namespace mmusim::platform {
namespace {

/// The cores with the fewest steps between them; the first such pair.
std::pair<unsigned, unsigned> closest_cores(const models::Topology& topology) {
    if (topology.cores() < 2) return {0, 0};
    if (topology.cores_per_socket > 1) return {0, 1};
    std::pair<unsigned, unsigned> best{0, 1};
    for (unsigned a = 0; a < topology.cores(); ++a)
        for (unsigned b = a + 1; b < topology.cores(); ++b)
            if (topology.hops_between(a, b) < topology.hops_between(best.first, best.second))
                best = {a, b};
    return best;
}

std::string core_name(unsigned core) { return "core" + std::to_string(core); }

}  // namespace

std::vector<LookaheadRow> lookaheads(const PlatformConfig& platform) {
    const auto [a, b] = closest_cores(platform.topology);
    std::vector<LookaheadRow> rows{{"memory", platform.memory.visibility(),
                                    "half of coherence.same_socket", core_name(a), core_name(b)}};
    if (platform.runs)
        rows.push_back({"interrupt", platform.interrupt.delivery, "interrupt.delivery",
                        core_name(a), core_name(b)});
    const auto nearest =
        std::min_element(platform.devices.begin(), platform.devices.end(),
                         [](const auto& x, const auto& y) { return x.link < y.link; });
    if (nearest != platform.devices.end())
        rows.push_back({"invalidation", nearest->link, "device." + nearest->name + ".link", "iommu",
                        nearest->name});
    return rows;
}

LookaheadRow exact_quantum(const PlatformConfig& platform) {
    const auto all = lookaheads(platform);
    return *std::min_element(
        all.begin(), all.end(),
        [](const LookaheadRow& x, const LookaheadRow& y) { return x.time < y.time; });
}

}  // namespace mmusim::platform
