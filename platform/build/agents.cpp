// SPDX-License-Identifier: Apache-2.0
#include "platform/build/agents.hpp"

#include <utility>

namespace mmusim::platform {

namespace {

std::string core_name(rmap::ActorId actor) { return "core" + std::to_string(actor); }

}  // namespace

Agents::Agents(const PlatformConfig& config) : cores_(config.topology.cores()) {
    if (const auto* tlb = config.mmu.next(models::Stream::kData, 0)) data_tlb_ = tlb->name;
    if (const auto* tlb = config.mmu.next(models::Stream::kFetch, 0)) fetch_tlb_ = tlb->name;
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

std::string Agents::translations_of(rmap::ActorId actor, rmap::Access access) const {
    if (actor >= cores_) return names_.at(actor - cores_).translations;
    return core_name(actor) + "." + (access == rmap::Access::kExecute ? fetch_tlb_ : data_tlb_);
}

rmap::ActorId Agents::device_tlb_of(rmap::ActorId actor) const {
    for (const auto& device : devices)
        if (device.engine == actor) return device.ats ? device.atc : device.engine;
    return rmap::kNoActor;
}

}  // namespace mmusim::platform
