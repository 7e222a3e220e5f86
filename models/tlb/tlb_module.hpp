// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <systemc>

#include "models/tlb/tlb_array.hpp"

namespace mmusim::models {

/// Models: lookup, fill and invalidation of one TLB level (Intel SDM vol. 3, 4.10). A miss goes to
/// the next level; what comes back is filled in here as well.
/// Does not model: port conflicts, prefetch, levels shared by hardware threads.
class TlbModule final : public sc_core::sc_module {
public:
    template <class M>
    using Target = tlm_utils::passthrough_target_socket<M>;
    template <class M>
    using Initiator = tlm_utils::simple_initiator_socket<M>;

    Target<TlbModule> core_socket{"core_socket"};          ///< translations, from above
    Initiator<TlbModule> next_socket{"next_socket"};       ///< level below, or the walker
    Target<TlbModule> maintain_socket{"maintain_socket"};  ///< invalidations, from above
    /// Invalidations for the level below; the last level leaves it unbound.
    tlm_utils::simple_initiator_socket_optional<TlbModule> next_maintain_socket{
        "next_maintain_socket"};

    TlbModule(const sc_core::sc_module_name& name, const TlbConfig& config);

    const TlbStats& stats() const { return array_.stats(); }

private:
    void translate(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    void maintain(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);

    TlbArray array_;
    const sc_core::sc_time lookup_;
    const sc_core::sc_time fill_;
};

}  // namespace mmusim::models
