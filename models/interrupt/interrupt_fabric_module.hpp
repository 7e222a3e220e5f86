// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/multi_passthrough_initiator_socket.h>
#include <tlm_utils/multi_passthrough_target_socket.h>
#include <systemc>

#include "models/interrupt/interrupt_config.hpp"
#include "models/mem/memory_config.hpp"
#include "models/tlm/home_inbox.hpp"
#include "models/tlm/interrupt_extension.hpp"
#include "models/tlm/pooled_payload.hpp"

namespace mmusim::models {

struct InterruptFabricStats {
    std::uint64_t messages = 0;    ///< interrupt-command writes
    std::uint64_t deliveries = 0;  ///< targets reached
};

/// Models: the way of an interrupt-command write to its targets: a queue with one slot per target,
/// then delivery by socket distance. A home: slots are given at kernel time, in the order in which
/// the writes arrive.
/// Does not model: priorities, masking in the local APIC, retries, logical destination formats.
class InterruptFabricModule final : public sc_core::sc_module {
public:
    /// Cores, in the order of their ids.
    tlm_utils::multi_passthrough_target_socket<InterruptFabricModule> sender_sockets{
        "sender_sockets"};
    /// The same cores, in the same order.
    tlm_utils::multi_passthrough_initiator_socket<InterruptFabricModule> core_sockets{
        "core_sockets"};

    InterruptFabricModule(const sc_core::sc_module_name& name, const InterruptConfig& config,
                          const Topology& topology);

    const InterruptFabricStats& stats() const { return stats_; }

private:
    struct Message {
        rmap::Vector vector;
        rmap::OperationId operation;
        rmap::CpuMask targets;
    };

    void b_transport(int id, tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    void give_slots_thread();
    void deliver(const EffectKey& sent, const Message& message, rmap::CpuId target,
                 rmap::Instant slot);

    const InterruptConfig config_;
    const Topology topology_;
    HomeInbox<Message> inbox_;
    rmap::Instant free_at_{};
    PayloadPool<InterruptExtension> pool_;
    InterruptFabricStats stats_;
};

}  // namespace mmusim::models
