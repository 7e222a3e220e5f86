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

/// The policies that keep bits have one word for them.
constexpr unsigned kMostWaysOfBits = 64;
constexpr unsigned kGroupWays = 4;

std::string geometry_mistake(const models::ArrayGeometry& array) {
    using models::IndexFunction;
    using models::ReplacementPolicy;
    const std::size_t sets = array.sets();
    if (array.entries % array.ways != 0)
        return fmt::format("is {}; expected a multiple of the {} ways", array.entries, array.ways);
    if (array.index == IndexFunction::kXorFold && (sets & (sets - 1)) != 0)
        return fmt::format(
            "is {}, in {} ways {} sets; expected a power of two of sets for index = \"xor-fold\"",
            array.entries, array.ways, sets);
    return {};
}

std::string ways_mistake(const models::ArrayGeometry& array) {
    using models::ReplacementPolicy;
    const bool bits = array.replacement != ReplacementPolicy::kLru &&
                      array.replacement != ReplacementPolicy::kRandom;
    if (bits && array.ways > kMostWaysOfBits)
        return fmt::format("is {}; expected at most {} for this replacement", array.ways,
                           kMostWaysOfBits);
    if (array.replacement == ReplacementPolicy::kMruPlusOnePlru4 && array.ways % kGroupWays != 0)
        return fmt::format("is {}; expected a multiple of {} for this replacement", array.ways,
                           kGroupWays);
    return {};
}

void check_array(const models::ArrayGeometry& array, const std::string& section,
                 const EffectiveConfig& effective) {
    const auto check = [&](const std::string& key, const std::string& mistake) {
        if (mistake.empty()) return;
        throw ConfigError(effective.origin(section, key),
                          fmt::format("'{}.{}' {}", section, key, mistake));
    };
    check("entries", geometry_mistake(array));
    check("ways", ways_mistake(array));
}

void check_tlb(const models::TlbConfig& tlb, const std::string& section,
               const EffectiveConfig& effective) {
    std::map<unsigned, std::string> arrays;  // by order
    for (const auto& array : tlb.arrays) {
        const std::string own = section + ".array." + array.name;
        check_array(array.geometry, own, effective);
        for (const unsigned order : array.orders) {
            const auto [other, first] = arrays.emplace(order, array.name);
            if (!first)
                throw ConfigError(
                    effective.origin(own, "pages"),
                    fmt::format("'{}.pages' has a size that '{}.array.{}' has, too; expected one "
                                "array for each size",
                                own, section, other->second));
        }
    }
}

std::string_view name_of(models::Stream stream) {
    return stream == models::Stream::kData ? "data" : "fetch";
}

/// Each stream is served exactly once at level 1 and at most once at each level below.
void check_stream(const models::MmuConfig& mmu, models::Stream stream,
                  const EffectiveConfig& effective) {
    std::map<unsigned, std::string> servers;  // by level
    for (const auto& tlb : mmu.tlbs) {
        if (!tlb.serves(stream)) continue;
        const auto [other, first] = servers.emplace(tlb.level, tlb.name);
        if (!first)
            throw ConfigError(
                effective.origin("tlb." + tlb.name, "serves"),
                fmt::format("'tlb.{}.serves' has '{}' in it, which 'tlb.{}' serves at level {}, "
                            "too; expected one for each",
                            tlb.name, name_of(stream), other->second, tlb.level));
    }
    if (servers.count(1) == 0)
        throw ConfigError(effective.origin("tlb." + mmu.tlbs.front().name, "serves"),
                          fmt::format("no TLB of level 1 serves '{}'; expected one [tlb.NAME] with "
                                      "level = 1 and serves = [\"{}\"]",
                                      name_of(stream), name_of(stream)));
}

/// Levels ascend.
void check_levels(const models::MmuConfig& mmu, const EffectiveConfig& effective) {
    unsigned above = 0;
    const models::TlbConfig* both = nullptr;  // the lowest so far for both streams
    for (const auto& tlb : mmu.tlbs) {
        const std::string section = "tlb." + tlb.name;
        if (tlb.level > above + 1)
            throw ConfigError(effective.origin(section, "level"),
                              fmt::format("'{}.level' is {}, and no TLB has level {}; expected "
                                          "levels without a gap",
                                          section, tlb.level, above + 1));
        const bool for_both =
            tlb.serves(models::Stream::kData) && tlb.serves(models::Stream::kFetch);
        if (both && !for_both && tlb.level > both->level)
            throw ConfigError(effective.origin(section, "serves"),
                              fmt::format("'{}.serves' is one of data and fetch, below 'tlb.{}' "
                                          "that serves both; expected both",
                                          section, both->name));
        if (for_both) both = &tlb;
        if (tlb.level == 1 && tlb.inclusion != models::Inclusion::kNeither)
            throw ConfigError(effective.origin(section, "inclusion"),
                              fmt::format("'{}.inclusion' is set, and no level is above level 1; "
                                          "expected neither",
                                          section));
        above = tlb.level;
    }
}

void check_walk_stage(const models::WalkStageConfig& stage, const std::string& section,
                      const EffectiveConfig& effective) {
    std::map<unsigned, std::string> caches;  // by level
    for (const auto& cache : stage.caches) {
        const std::string own = section + ".cache." + cache.name;
        check_array(cache.geometry, own, effective);
        if (cache.level > stage.format->levels)
            throw ConfigError(effective.origin(own, "level"),
                              fmt::format("'{}.level' is {}; {} has levels 1 to {}", own,
                                          cache.level, stage.format->name, stage.format->levels));
        const auto [other, first] = caches.emplace(cache.level, cache.name);
        if (!first)
            throw ConfigError(effective.origin(own, "level"),
                              fmt::format("'{}.level' is {}, that of '{}.cache.{}', too; expected "
                                          "one cache for each level",
                                          own, cache.level, section, other->second));
    }
    if (stage.format->bits_are_a_mode() && stage.accessed != stage.dirty) {
        const char* key = stage.accessed == models::BitUpdate::kFault ? "accessed" : "dirty";
        throw ConfigError(effective.origin(section, key),
                          fmt::format("'{}.{}' is fault, unlike the other; {} has accessed and "
                                      "dirty bits or neither",
                                      section, key, stage.format->name));
    }
}

void check_walker(const models::WalkerConfig& walker, const EffectiveConfig& effective) {
    check_walk_stage(walker.first, "walker", effective);
    check_walk_stage(walker.second, "walker.second_stage", effective);
    check_tlb(walker.second_tlb, "walker.second_stage.tlb", effective);
    const auto& first = *walker.first.format;
    const auto& second = *walker.second.format;
    if (first.architecture() != second.architecture())
        throw ConfigError(
            effective.origin("walker.second_stage", "format"),
            fmt::format("'walker.second_stage.format' is {}, of another architecture than {}; "
                        "expected {}",
                        second.name, first.name, rmap::usual_second_stage(first).name));
}

void check_mmu(const models::MmuConfig& mmu, const EffectiveConfig& effective) {
    check_walker(mmu.walker, effective);
    for (const auto& tlb : mmu.tlbs) check_tlb(tlb, "tlb." + tlb.name, effective);
    if (mmu.tlbs.empty()) return;  // reported as missing
    for (const auto stream : {models::Stream::kData, models::Stream::kFetch})
        check_stream(mmu, stream, effective);
    check_levels(mmu, effective);
}

/// An event of one kind must not overtake the stores that it announces.
void check_causal(rmap::Duration time, const std::string& section, const std::string& key,
                  const PlatformConfig& platform, const EffectiveConfig& effective) {
    const rmap::Duration visibility = platform.memory.visibility();
    if (time >= visibility) return;
    throw ConfigError(effective.origin(section, key),
                      fmt::format("'{}.{}' is {}; expected {} or more: it would overtake the store "
                                  "that it announces (half of coherence.same_socket)",
                                  section, key, text(time), text(visibility)));
}

void check_socket(unsigned socket, const std::string& section, const PlatformConfig& platform,
                  const EffectiveConfig& effective) {
    if (socket >= platform.topology.sockets)
        throw ConfigError(effective.origin(section, "socket"),
                          fmt::format("'{}.socket' is {}; the machine has sockets 0 to {}", section,
                                      socket, platform.topology.sockets - 1));
}

void check_iommu(const PlatformConfig& platform, const EffectiveConfig& effective) {
    if (!platform.iommu) {
        if (!platform.devices.empty())
            throw ConfigError(effective.origin("device." + platform.devices.front().name, "source"),
                              fmt::format("device '{}' is behind an IOMMU; expected a section "
                                          "[iommu]",
                                          platform.devices.front().name));
        return;
    }
    const auto& iommu = *platform.iommu;
    check_socket(iommu.socket, "iommu", platform, effective);
    check_tlb(iommu.iotlb, "iommu.iotlb", effective);
    check_array(iommu.walk_cache, "iommu.walk_cache", effective);
    check_array(iommu.pasid_cache, "iommu.pasid_cache", effective);
    const auto check_power_of_two = [&](const char* key, unsigned value) {
        if ((value & (value - 1)) != 0)
            throw ConfigError(effective.origin("iommu", key),
                              fmt::format("'iommu.{}' is {}; expected a power of two", key, value));
    };
    check_power_of_two("queue_entries", iommu.queue_entries);
    check_power_of_two("queue_lines", iommu.queue_lines);
    if (iommu.iotlb.fill.ps == 0)
        throw ConfigError(
            effective.origin("iommu.iotlb", "fill"),
            "'iommu.iotlb.fill' is 0 ns; expected more: what is filled in takes effect "
            "later than the walk");
    check_causal(iommu.doorbell, "iommu", "doorbell", platform, effective);
}

void check_devices(const PlatformConfig& platform, const EffectiveConfig& effective) {
    for (const auto& device : platform.devices) {
        const std::string section = "device." + device.name;
        check_socket(device.socket, section, platform, effective);
        check_tlb(device.atc, section + ".atc", effective);
        check_causal(device.link, section, "link", platform, effective);
        for (const auto& other : platform.devices)
            if (&other < &device && other.source == device.source)
                throw ConfigError(effective.origin(section, "source"),
                                  fmt::format("devices '{}' and '{}' both are source {}; expected "
                                              "a source of its own for each",
                                              other.name, device.name, device.source));
    }
}

/// What the exact quantum rests on, besides what belongs to a unit.
void check_lookaheads(const PlatformConfig& platform, const EffectiveConfig& effective) {
    const rmap::Duration visibility = platform.memory.visibility();
    if (visibility.ps == 0)
        throw ConfigError(effective.origin("coherence", "same_socket"),
                          "'coherence.same_socket' is 0.001 ns; expected 0.002 ns or more: stores "
                          "are visible after half of it");
    if (!platform.runs) return;
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
    check_mmu(platform.mmu, effective);
    check_lookaheads(platform, effective);
    check_iommu(platform, effective);
    check_devices(platform, effective);
}

}  // namespace mmusim::platform
