// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/config/platform_config.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::platform {

/// Numbers and names of everything on a machine that acts in simulated time. Core n is actor n; the
/// others follow in the order of the configuration, so that an event's actor never depends on how
/// the machine was built.
struct Agents {
    struct Device {
        rmap::ActorId engine = 0;
        rmap::ActorId atc = 0;
        bool ats = true;
    };

    explicit Agents(const PlatformConfig& config);

    /// "core3", "iommu", "iommu.queue", "iommu.walker1", "nic0", "nic0.atc".
    std::string name(rmap::ActorId actor) const;
    /// Where it keeps the translations of such accesses: "core3.dtlb", "nic0.atc".
    std::string translations_of(rmap::ActorId actor, rmap::Access access) const;

    /// The actor that invalidates what a device's engine has cached: its ATC, or itself if it has
    /// none; kNoActor for others.
    rmap::ActorId device_tlb_of(rmap::ActorId actor) const;

    rmap::ActorId iommu = rmap::kNoActor;
    rmap::ActorId iommu_queue = rmap::kNoActor;
    rmap::ActorId first_walker = rmap::kNoActor;
    std::vector<Device> devices;  ///< as in the configuration

    /// Sockets of the actors after the cores (models::Topology::agent_sockets).
    std::vector<unsigned> sockets;

private:
    rmap::ActorId add(std::string name, std::string translations, unsigned socket);

    const unsigned cores_;
    std::string data_tlb_;   ///< first level of every core
    std::string fetch_tlb_;  ///< likewise
    struct Names {
        std::string name;
        std::string translations;
    };
    std::vector<Names> names_;  ///< of the actors after the cores
};

}  // namespace mmusim::platform
