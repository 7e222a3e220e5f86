// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "platform/config/platform_schema.hpp"
#include "platform/report/event_text.hpp"
#include "rmap/types/cpu_mask.hpp"

namespace mmusim::platform {
namespace {

void check_topology(const models::Topology& topology, const EffectiveConfig& effective) {
    if (topology.cores() > rmap::kMaxCpus)
        throw ConfigError(effective.origin("topology", "cores_per_socket"),
                          fmt::format("{} sockets of {} cores are {} cores; expected at most {}",
                                      topology.sockets, topology.cores_per_socket, topology.cores(),
                                      rmap::kMaxCpus));
}

void check_hops(const models::Topology& topology, const EffectiveConfig& effective) {
    const auto& hops = topology.hops;
    const unsigned n = topology.sockets;
    const auto fail = [&effective](const std::string& message) {
        throw ConfigError(effective.origin("topology", "hops"), "'topology.hops': " + message);
    };
    for (unsigned a = 0; a < n; ++a) {
        if (hops[a][a] != 0)
            fail(fmt::format("socket {} is {} steps from itself; expected 0", a, hops[a][a]));
        for (unsigned b = 0; b < n; ++b) {
            if (a != b && hops[a][b] == 0)
                fail(fmt::format("sockets {} and {} are 0 steps apart; expected 1 or more", a, b));
            if (hops[a][b] != hops[b][a])
                fail(
                    fmt::format("{} to {} is {} steps but {} to {} is {}; expected a symmetric "
                                "matrix",
                                a, b, hops[a][b], b, a, hops[b][a]));
            for (unsigned via = 0; via < n; ++via)
                if (hops[a][b] > hops[a][via] + hops[via][b])
                    fail(
                        fmt::format("{} to {} is {} steps but {} by way of {}; expected no detour "
                                    "to be shorter",
                                    a, b, hops[a][b], hops[a][via] + hops[via][b], via));
        }
    }
}

void check_array(const models::TlbGeometry& array, const std::string& section,
                 const std::string& size, const EffectiveConfig& effective) {
    if (array.entries % array.ways != 0)
        throw ConfigError(effective.origin(section, size + "_entries"),
                          fmt::format("'{}.{}_entries' is {}; expected a multiple of the {} ways",
                                      section, size, array.entries, array.ways));
    const unsigned sets = array.entries / array.ways;
    if ((sets & (sets - 1)) != 0)
        throw ConfigError(effective.origin(section, size + "_entries"),
                          fmt::format("'{}.{}_entries' is {}, in {} ways {} sets; expected a power "
                                      "of two of sets",
                                      section, size, array.entries, array.ways, sets));
}

void check_tlb(const models::TlbConfig& tlb, const std::string& section,
               const EffectiveConfig& effective) {
    check_array(tlb.small, section, "small", effective);
    check_array(tlb.large, section, "large", effective);
}

/// What the exact quantum rests on.
void check_lookaheads(const PlatformConfig& platform, const EffectiveConfig& effective) {
    const rmap::Duration visibility = platform.memory.visibility();
    if (visibility.ps == 0)
        throw ConfigError(effective.origin("coherence", "same_socket"),
                          "'coherence.same_socket' is 0.001 ns; expected 0.002 ns or more: stores "
                          "are visible after half of it");
    if (platform.costs.lock_handover < visibility)
        throw ConfigError(
            effective.origin("kernel.costs", "lock_handover"),
            fmt::format("'kernel.costs.lock_handover' is {}; expected {} or more: the next owner "
                        "would not see the last one's stores (half of coherence.same_socket)",
                        text(platform.costs.lock_handover), text(visibility)));
    const auto arrival = platform.interrupt.to_fabric + platform.interrupt.delivery;
    if (arrival < visibility)
        throw ConfigError(
            effective.origin("interrupt", "delivery"),
            fmt::format("'interrupt.delivery' with 'interrupt.to_fabric' is {}; expected {} or "
                        "more: an interrupt would overtake the store that it announces (half of "
                        "coherence.same_socket)",
                        text(arrival), text(visibility)));
}

}  // namespace

void check_platform(const PlatformConfig& platform, const EffectiveConfig& effective) {
    check_topology(platform.topology, effective);
    check_hops(platform.topology, effective);
    check_tlb(platform.l1_tlb, "tlb.l1", effective);
    check_tlb(platform.l2_tlb, "tlb.l2", effective);
    check_lookaheads(platform, effective);
}

}  // namespace mmusim::platform
