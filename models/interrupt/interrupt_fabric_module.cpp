// SPDX-License-Identifier: Apache-2.0
#include "models/interrupt/interrupt_fabric_module.hpp"

#include "models/tlm/thread_time.hpp"

namespace mmusim::models {

using rmap::Instant;

InterruptFabricModule::InterruptFabricModule(const sc_core::sc_module_name& name,
                                             const InterruptConfig& config,
                                             const Topology& topology)
    : sc_module(name), config_(config), topology_(topology) {
    sender_sockets.register_b_transport(this, &InterruptFabricModule::b_transport);
    SC_HAS_PROCESS(InterruptFabricModule);
    SC_THREAD(give_slots_thread);  // a thread, because it calls b_transport
}

/// Posts the write; it takes effect at the fabric at its key's time, not in the order of the calls.
void InterruptFabricModule::b_transport(int, tlm::tlm_generic_payload& trans, sc_core::sc_time&) {
    const auto& message = extension_of<InterruptExtension>(trans, name());
    inbox_.post(message.key, {message.vector, message.operation, message.targets});
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

void InterruptFabricModule::give_slots_thread() {
    for (;;) {
        wait(inbox_.arrival_event());
        inbox_.serve([&](const auto& item) {
            ++stats_.messages;
            item.value.targets.for_each([&](rmap::CpuId target) {
                const Instant slot = rmap::max(item.key.time, free_at_);
                free_at_ = slot + config_.slot;
                deliver(item.key, item.value, target, slot);
            });
        });
    }
}

void InterruptFabricModule::deliver(const EffectKey& sent, const Message& sent_message,
                                    rmap::CpuId target, Instant slot) {
    ++stats_.deliveries;
    const auto way = config_.delivery + config_.hop * topology_.hops_between(sent.actor, target);
    PayloadPool<InterruptExtension>::Loan loan(pool_);
    auto& message = loan.extension();
    message.vector = sent_message.vector;
    message.operation = sent_message.operation;
    message.targets = {};
    message.targets.set(target);
    message.key = {slot + way, sent.actor, sent.sequence};
    loan.payload().set_command(tlm::TLM_IGNORE_COMMAND);
    auto delay = to_sc_time(message.key.time - kernel_now());
    core_sockets[static_cast<int>(target)]->b_transport(loan.payload(), delay);
}

}  // namespace mmusim::models
