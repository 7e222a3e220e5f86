// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <systemc>

namespace mmusim::models {

/// Bound between two sockets, it polices the base protocol of blocking transport (IEEE 1666-2011,
/// 14 and 16): a payload comes with an incomplete response and leaves with another one, its
/// attributes come back as they were, annotated time does not run backwards, and direct memory
/// access is granted for the address that was asked for. A breach is an
/// error report that names the socket. Used in test builds; takes no simulated time. `Protocol` is
/// one of protocols.hpp.
template <class Protocol>
class BasicProtocolCheckerModule final : public sc_core::sc_module {
public:
    tlm_utils::passthrough_target_socket<BasicProtocolCheckerModule, 32, Protocol> initiator_side{
        "initiator_side"};
    tlm_utils::simple_initiator_socket<BasicProtocolCheckerModule, 32, Protocol> target_side{
        "target_side"};

    explicit BasicProtocolCheckerModule(const sc_core::sc_module_name& name);

    std::uint64_t transactions() const { return transactions_; }

private:
    void b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    unsigned transport_dbg(tlm::tlm_generic_payload& trans);
    bool get_direct_mem_ptr(tlm::tlm_generic_payload& trans, tlm::tlm_dmi& dmi);
    void invalidate_direct_mem_ptr(sc_dt::uint64 start, sc_dt::uint64 end);
    void demand(bool condition, const char* rule);

    std::uint64_t transactions_ = 0;
};

using ProtocolCheckerModule = BasicProtocolCheckerModule<tlm::tlm_base_protocol_types>;

}  // namespace mmusim::models
