// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/core_module.hpp"
#include "models/cpu/mmu_module.hpp"
#include "models/device/dma_device_module.hpp"
#include "models/flush/flush_mechanism.hpp"
#include "models/interrupt/interrupt_fabric_module.hpp"
#include "models/iommu/iommu_module.hpp"
#include "models/mem/memory_module.hpp"
#include "models/tlm/protocol_checker_module.hpp"
#include "platform/build/agents.hpp"
#include "platform/build/core_iommu_port.hpp"
#include "platform/config/platform_config.hpp"
#include "platform/config/run_options.hpp"

namespace mmusim::platform {

enum class ProtocolChecks { kOff, kOn };

/// The least times from which the exact quantum follows.
models::Lookahead lookahead_of(const PlatformConfig& config);

/// The modules of a machine, built from its config and bound to each other. One per process:
/// SystemC elaborates once.
class Platform {
public:
    struct Options {
        models::Lookahead lookahead;
        models::AccessObserver* observer = nullptr;
        std::uint64_t compare_walks = 0;  ///< each n-th access of a core; 0: none
        models::EventObservers events;    ///< of the IOMMU and the devices
        ProtocolChecks checks = ProtocolChecks::kOff;
        Dmi dmi = Dmi::kOn;
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;  ///< of the hardware
        /// Order in which cores are made; results may not depend on it. Empty: ascending.
        std::vector<rmap::CpuId> creation_order;
        bool devices_first = false;  ///< and descending; likewise
    };

    /// What runs on the machine; it outlives the platform.
    struct Software {
        std::function<models::CoreSoftware&(rmap::CpuId)> of_core;
        std::function<models::DeviceProgram&(std::size_t)> of_device;  ///< n-th of the config
    };

    Platform(const PlatformConfig& config, const Options& options, const Software& software);

    const Agents& agents() const { return agents_; }
    unsigned cores() const { return static_cast<unsigned>(nodes_.size()); }
    models::CoreModule& core(rmap::CpuId id) { return nodes_[id]->core; }
    const models::MmuModule& mmu(rmap::CpuId id) const { return nodes_[id]->mmu; }
    models::FlushMechanism& mechanism(rmap::CpuId id) { return *nodes_[id]->mechanism; }
    models::MemoryModule& memory() { return memory_; }
    const models::InterruptFabricModule& fabric() const { return fabric_; }
    /// Null on a machine without one, and so are the ports to it.
    models::IommuModule* iommu() { return iommu_.get(); }
    rmap::IommuPort* iommu_port(rmap::CpuId id) { return nodes_[id]->iommu_port.get(); }
    std::size_t devices() const { return devices_.size(); }
    models::DmaDeviceModule& device(std::size_t n) { return *devices_[n]; }

    /// Effects that came too late, of every kind; only a quantum beyond the exact one causes any.
    models::LateEffects late() const;
    /// What some process of the machine threw, if one did.
    std::exception_ptr failure() const;
    /// Gives the observer every access that kernel time has passed.
    void settle(rmap::Instant now);

private:
    struct Node {
        Node(const PlatformConfig& config, const Options& options, rmap::CpuId id,
             models::CoreSoftware& software, const models::MemoryModule& memory);
        models::CoreModule core;
        models::MmuModule mmu;
        std::unique_ptr<models::FlushMechanism> mechanism;
        std::unique_ptr<CoreIommuPort> iommu_port;
    };

    void make_iommu(const PlatformConfig& config, const Options& options);
    void make_devices(const PlatformConfig& config, const Options& options,
                      const Software& software);
    void bind(Node& node, ProtocolChecks checks);
    void bind_iommu(ProtocolChecks checks);
    template <class Protocol = tlm::tlm_base_protocol_types, class From, class To>
    void connect(From& from, To& to, ProtocolChecks checks);

    const Agents agents_;
    const models::Topology topology_;
    models::MemoryModule memory_;
    models::InterruptFabricModule fabric_;
    std::vector<std::unique_ptr<Node>> nodes_;  ///< by core id
    std::unique_ptr<models::IommuModule> iommu_;
    std::vector<std::unique_ptr<models::DmaDeviceModule>> devices_;
    std::vector<std::unique_ptr<sc_core::sc_module>> checkers_;
};

}  // namespace mmusim::platform
