// SPDX-License-Identifier: Apache-2.0
#include "platform/build/platform.hpp"

#include "platform/config/lookahead.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

models::Lookahead lookahead_of(const PlatformConfig& config) {
    const auto rows = lookaheads(config);
    models::Lookahead lookahead;
    lookahead.memory = rows[0].time;
    lookahead.interrupt = rows[1].time;
    if (rows.size() > 2) lookahead.invalidation = rows[2].time;
    return lookahead;
}

namespace {

std::string numbered(const char* what, std::size_t id) { return what + std::to_string(id); }

models::Topology with_agents(models::Topology topology, const Agents& agents) {
    topology.agent_sockets = agents.sockets;
    return topology;
}

models::CoreModule::Config core_config(const PlatformConfig& config,
                                       const Platform::Options& options, rmap::CpuId id,
                                       const models::MemoryModule& memory) {
    models::CoreModule::Config core;
    core.id = id;
    core.lookahead = options.lookahead;
    core.cache = config.memory.cache;
    core.walk_check = {options.compare_walks, &memory.stores()};
    core.fault = options.fault;
    if (options.dmi == Dmi::kOn) {
        core.data_tlb = config.mmu.next(models::Stream::kData, 0);
        core.fetch_tlb = config.mmu.next(models::Stream::kFetch, 0);
    }
    return core;
}

}  // namespace

Platform::Node::Node(const PlatformConfig& config, const Options& options, rmap::CpuId id,
                     models::CoreSoftware& software, const models::MemoryModule& memory)
    : core(numbered("core", id).c_str(), core_config(config, options, id, memory), software,
           options.observer),
      mmu(numbered("mmu", id).c_str(), config.mmu) {
    const auto* row = models::find_flush_mechanism(config.flush_mechanism);
    MMUSIM_CHECK(row, "the config names an existing flush mechanism");
    mechanism = row->create(core, {config.invalidation, config.interrupt});
    if (config.iommu) iommu_port = std::make_unique<CoreIommuPort>(core, *config.iommu);
}

Platform::Platform(const PlatformConfig& config, const Options& options, const Software& software)
    : agents_(config),
      topology_(with_agents(config.topology, agents_)),
      memory_("memory", config.memory, topology_),
      fabric_("fabric", config.interrupt, topology_) {
    MMUSIM_CHECK(sc_core::sc_get_time_resolution() == sc_core::sc_time(1, sc_core::SC_PS),
                 "simulated time is counted in picoseconds");
    const unsigned cores = config.topology.cores();
    nodes_.resize(cores);
    std::vector<rmap::CpuId> order = options.creation_order;
    for (rmap::CpuId id = 0; order.size() < cores; ++id) order.push_back(id);
    if (options.devices_first) make_devices(config, options, software);
    for (const auto id : order)
        nodes_[id] = std::make_unique<Node>(config, options, id, software.of_core(id), memory_);
    if (config.iommu) make_iommu(config, options);
    if (!options.devices_first) make_devices(config, options, software);
    for (auto& node : nodes_) bind(*node, options.checks);
    if (iommu_) bind_iommu(options.checks);
}

void Platform::make_iommu(const PlatformConfig& config, const Options& options) {
    models::IommuModule::Config iommu;
    iommu.iommu = *config.iommu;
    iommu.lookahead = options.lookahead;
    for (const auto& device : config.devices) iommu.devices.push_back({device.source, device.link});
    iommu.home = agents_.iommu;
    iommu.queue = agents_.iommu_queue;
    iommu.first_walker = agents_.first_walker;
    iommu_ = std::make_unique<models::IommuModule>("iommu", iommu, options.events);
}

void Platform::make_devices(const PlatformConfig& config, const Options& options,
                            const Software& software) {
    devices_.resize(config.devices.size());
    for (std::size_t made = 0; made < devices_.size(); ++made) {
        const std::size_t n = options.devices_first ? devices_.size() - 1 - made : made;
        models::DmaDeviceModule::Config device;
        device.device = config.devices[n];
        device.lookahead = options.lookahead;
        device.engine = agents_.devices[n].engine;
        device.atc = agents_.devices[n].atc;
        device.fault = options.fault;
        devices_[n] = std::make_unique<models::DmaDeviceModule>(numbered("device", n).c_str(),
                                                                device, software.of_device(n),
                                                                options.observer, options.events);
    }
}

template <class Protocol, class From, class To>
void Platform::connect(From& from, To& to, ProtocolChecks checks) {
    if (checks == ProtocolChecks::kOff) {
        from.bind(to);
        return;
    }
    auto checker = std::make_unique<models::BasicProtocolCheckerModule<Protocol>>(
        numbered("checker", checkers_.size()).c_str());
    from.bind(checker->initiator_side);
    checker->target_side.bind(to);
    checkers_.push_back(std::move(checker));
}

void Platform::bind(Node& node, ProtocolChecks checks) {
    connect(node.core.translate_socket, node.mmu.first(models::Stream::kData), checks);
    connect(node.core.fetch_socket, node.mmu.first(models::Stream::kFetch), checks);
    node.mmu.bind_levels([&](auto& from, auto& to) { connect(from, to, checks); });
    connect(node.core.uncached_walk_socket, node.mmu.walker.core_socket, checks);
    connect(node.core.maintain_socket, node.mmu.maintain_socket, checks);
    connect(node.mmu.walker.memory_socket, memory_.initiator_sockets, checks);
    connect(node.core.memory_socket, memory_.initiator_sockets, checks);
    connect(node.core.send_socket, fabric_.sender_sockets, checks);
    connect(fabric_.core_sockets, node.core.deliver_socket, checks);
}

void Platform::bind_iommu(ProtocolChecks checks) {
    for (auto& node : nodes_)
        connect<models::DoorbellProtocol>(node->core.doorbell_socket, iommu_->queue.core_sockets,
                                          checks);
    iommu_->for_each_memory_socket(
        [&](auto& socket) { connect(socket, memory_.initiator_sockets, checks); });
    for (auto& device : devices_) {
        connect<models::AtsProtocol>(device->iommu_socket, iommu_->device_sockets, checks);
        connect<models::DeviceTlbProtocol>(iommu_->queue.device_sockets, device->invalidate_socket,
                                           checks);
        connect(device->memory_socket, memory_.initiator_sockets, checks);
    }
}

namespace {

void add(models::LateEffects& total, const models::LateEffects& late) {
    total.count += late.count;
    total.worst = rmap::max(total.worst, late.worst);
}

}  // namespace

models::LateEffects Platform::late() const {
    models::LateEffects total = memory_.late();
    for (const auto& node : nodes_) add(total, node->core.time().late());
    for (const auto& device : devices_) {
        add(total, device->late());
        add(total, device->time().late());
    }
    return total;
}

std::exception_ptr Platform::failure() const {
    for (const auto& node : nodes_)
        if (const auto failure = node->core.failure()) return failure;
    if (iommu_ && iommu_->failure()) return iommu_->failure();
    for (const auto& device : devices_)
        if (const auto failure = device->failure()) return failure;
    return nullptr;
}

void Platform::settle(rmap::Instant now) {
    for (auto& node : nodes_) node->core.settle(now);
    for (auto& device : devices_) device->settle(now);
}

}  // namespace mmusim::platform
