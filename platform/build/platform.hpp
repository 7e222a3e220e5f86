// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/core_module.hpp"
#include "models/cpu/mmu_module.hpp"
#include "models/flush/flush_mechanism.hpp"
#include "models/interrupt/interrupt_fabric_module.hpp"
#include "models/mem/memory_module.hpp"
#include "models/tlm/protocol_checker_module.hpp"
#include "platform/config/platform_config.hpp"

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
        ProtocolChecks checks = ProtocolChecks::kOff;
        /// Order in which cores are made; results may not depend on it. Empty: ascending.
        std::vector<rmap::CpuId> creation_order;
    };

    /// `software_of(n)` is what core n runs; it outlives the platform.
    Platform(const PlatformConfig& config, const Options& options,
             const std::function<models::CoreSoftware&(rmap::CpuId)>& software_of);

    unsigned cores() const { return static_cast<unsigned>(nodes_.size()); }
    models::CoreModule& core(rmap::CpuId id) { return nodes_[id]->core; }
    const models::MmuModule& mmu(rmap::CpuId id) const { return nodes_[id]->mmu; }
    models::FlushMechanism& mechanism(rmap::CpuId id) { return *nodes_[id]->mechanism; }
    models::MemoryModule& memory() { return memory_; }
    const models::InterruptFabricModule& fabric() const { return fabric_; }

    /// Effects that came too late, of every kind; only a quantum beyond the exact one causes any.
    models::LateEffects late() const;

private:
    struct Node {
        Node(const PlatformConfig& config, const Options& options, rmap::CpuId id,
             models::CoreSoftware& software);
        models::CoreModule core;
        models::MmuModule mmu;
        std::unique_ptr<models::FlushMechanism> mechanism;
    };

    void bind(Node& node, ProtocolChecks checks);
    template <class From, class To>
    void connect(From& from, To& to, ProtocolChecks checks);

    models::MemoryModule memory_;
    models::InterruptFabricModule fabric_;
    std::vector<std::unique_ptr<Node>> nodes_;  ///< by core id
    std::vector<std::unique_ptr<models::ProtocolCheckerModule>> checkers_;
};

}  // namespace mmusim::platform
