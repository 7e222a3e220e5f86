// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <memory>
#include <systemc>
#include <vector>

#include "models/cpu/mmu_config.hpp"
#include "models/tlb/tlb_module.hpp"
#include "models/walker/page_walker_module.hpp"

namespace mmusim::models {

/// Models: the MMU of one core: its TLBs and a page walker. The core binds to the sockets of
/// first() and to maintain_socket, the memory to walker.memory_socket.
/// Does not model: levels that cores or hardware threads share.
class MmuModule final : public sc_core::sc_module {
public:
    /// Invalidations of the core: all levels drop what the instruction's scope names.
    tlm_utils::passthrough_target_socket<MmuModule> maintain_socket{"maintain_socket"};
    PageWalkerModule walker;

    MmuModule(const sc_core::sc_module_name& name, const MmuConfig& config);

    /// The socket to which the core sends a stream.
    TlbModule::Target<TlbModule>& first(Stream stream);
    /// Has the levels and the walker bound to each other: connect(initiator socket, target socket).
    template <class Connect>
    void bind_levels(Connect&& connect);

    /// In the order of the configuration.
    const std::vector<std::unique_ptr<TlbModule>>& tlbs() const { return tlbs_; }

private:
    void maintain(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    TlbModule* find(const TlbConfig* tlb) const;

    const MmuConfig config_;
    std::vector<std::unique_ptr<TlbModule>> tlbs_;
};

template <class Connect>
void MmuModule::bind_levels(Connect&& connect) {
    for (const auto& tlb : tlbs_) {
        const Stream stream = tlb->config().streams.front();
        if (TlbModule* next = find(config_.next(stream, tlb->config().level)))
            connect(tlb->next_socket, next->socket(stream));
        else
            connect(tlb->next_socket, walker.socket(stream));
    }
}

}  // namespace mmusim::models
