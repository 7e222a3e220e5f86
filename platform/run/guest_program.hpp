// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "models/cpu/core_module.hpp"
#include "platform/config/platform_config.hpp"
#include "platform/run/access_plan.hpp"
#include "rmap/ports/guest_port.hpp"

namespace mmusim::platform {

/// What a guest executes on one vCPU: it uses its memory like a thread of its process and halts
/// when the scenario is over. Its virtual addresses are those of the process.
class GuestProgram final : public rmap::GuestPort {
public:
    struct Behaviour {
        rmap::Duration access_time;
        std::uint64_t halt_after = 0;  ///< answers to requests after which it halts; 0 = never
    };

    GuestProgram(models::CoreModule& core, const VirtualizationConfig& costs, MemoryUse use,
                 const Behaviour& behaviour, Rendezvous& rendezvous)
        : core_(core), costs_(costs), behaviour_(behaviour), plan_(std::move(use), rendezvous) {}

    rmap::GuestExit enter_guest(const rmap::GuestContext& context) override;

private:
    rmap::GuestExit run();
    bool poll();
    bool is_over() const {
        return behaviour_.halt_after != 0 && plan_.answers() >= behaviour_.halt_after;
    }

    models::CoreModule& core_;
    const VirtualizationConfig costs_;
    const Behaviour behaviour_;
    AccessPlan plan_;
    std::optional<AccessStream::Access> pending_;  ///< that has to be made again
    unsigned tries_ = 0;                           ///< of it
};

}  // namespace mmusim::platform
