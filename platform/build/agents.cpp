// SPDX-License-Identifier: Apache-2.0
#include "platform/build/agents.hpp"

#include <utility>

namespace mmusim::platform {

namespace {

std::string core_name(rmap::ActorId actor) { return "core" + std::to_string(actor); }

}  // namespace

Agents::Agents(const PlatformConfig& config) : cores_(config.topology.cores()) {
    if (config.iommu) {
        const unsigned socket = config.iommu->socket;
        iommu = add("iommu", "iommu.iotlb", socket);
        iommu_queue = add("iommu.queue", "iommu.queue", socket);
        for (unsigned n = 0; n < config.iommu->walkers; ++n) {
            const std::string name = "iommu.walker" + std::to_string(n);
            const auto walker = add(name, name, socket);
            if (n == 0) first_walker = walker;
        }
    }
    for (const auto& device : config.devices) {
        const std::string cache = device.ats ? device.name + ".atc" : "iommu.iotlb";
        Device actors;
        actors.engine = add(device.name, cache, device.socket);
        actors.ats = device.ats;
        actors.atc = add(device.name + ".atc", cache, device.socket);
        devices.push_back(actors);
    }
}

rmap::ActorId Agents::add(std::string name, std::string translations, unsigned socket) {
    names_.push_back({std::move(name), std::move(translations)});
    sockets.push_back(socket);
    return static_cast<rmap::ActorId>(cores_ + names_.size() - 1);
}

std::string Agents::name(rmap::ActorId actor) const {
    return actor < cores_ ? core_name(actor) : names_.at(actor - cores_).name;
}

std::string Agents::translations_of(rmap::ActorId actor) const {
    return actor < cores_ ? core_name(actor) + ".l1_tlb" : names_.at(actor - cores_).translations;
}

rmap::ActorId Agents::device_tlb_of(rmap::ActorId actor) const {
    for (const auto& device : devices)
        if (device.engine == actor) return device.ats ? device.atc : device.engine;
    return rmap::kNoActor;
}

}  // namespace mmusim::platform
