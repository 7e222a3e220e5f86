// SPDX-License-Identifier: Apache-2.0
#include "models/tlm/protocol_checker_module.hpp"

#include "models/tlm/protocols.hpp"

namespace mmusim::models {

template <class Protocol>
BasicProtocolCheckerModule<Protocol>::BasicProtocolCheckerModule(
    const sc_core::sc_module_name& name)
    : sc_module(name) {
    initiator_side.register_b_transport(this, &BasicProtocolCheckerModule::b_transport);
    initiator_side.register_transport_dbg(this, &BasicProtocolCheckerModule::transport_dbg);
    initiator_side.register_get_direct_mem_ptr(this,
                                               &BasicProtocolCheckerModule::get_direct_mem_ptr);
    target_side.register_invalidate_direct_mem_ptr(
        this, &BasicProtocolCheckerModule::invalidate_direct_mem_ptr);
}

template <class Protocol>
void BasicProtocolCheckerModule<Protocol>::demand(bool condition, const char* rule) {
    if (!condition) SC_REPORT_ERROR(name(), rule);
}

template <class Protocol>
void BasicProtocolCheckerModule<Protocol>::b_transport(tlm::tlm_generic_payload& trans,
                                                       sc_core::sc_time& delay) {
    ++transactions_;
    demand(trans.get_response_status() == tlm::TLM_INCOMPLETE_RESPONSE,
           "a request comes with TLM_INCOMPLETE_RESPONSE");
    demand(trans.get_byte_enable_ptr() == nullptr, "byte enables are not used here");
    const auto command = trans.get_command();
    const auto address = trans.get_address();
    const auto* data = trans.get_data_ptr();
    const auto length = trans.get_data_length();
    const auto before = sc_core::sc_time_stamp() + delay;

    target_side->b_transport(trans, delay);

    demand(trans.get_response_status() != tlm::TLM_INCOMPLETE_RESPONSE,
           "the target has not set the response status");
    demand(command == trans.get_command() && address == trans.get_address(),
           "the target has changed command or address");
    demand(data == trans.get_data_ptr() && length == trans.get_data_length(),
           "the target has changed the data pointer or length");
    demand(sc_core::sc_time_stamp() + delay >= before, "annotated time has run backwards");
}

/// Debug transport has no rules to police: it has no time and no response.
template <class Protocol>
unsigned BasicProtocolCheckerModule<Protocol>::transport_dbg(tlm::tlm_generic_payload& trans) {
    return target_side->transport_dbg(trans);
}

template <class Protocol>
bool BasicProtocolCheckerModule<Protocol>::get_direct_mem_ptr(tlm::tlm_generic_payload& trans,
                                                              tlm::tlm_dmi& dmi) {
    const bool granted = target_side->get_direct_mem_ptr(trans, dmi);
    const auto address = trans.get_address();
    demand(!granted || (dmi.get_start_address() <= address && address <= dmi.get_end_address()),
           "direct memory access is granted for another address");
    return granted;
}

template <class Protocol>
void BasicProtocolCheckerModule<Protocol>::invalidate_direct_mem_ptr(sc_dt::uint64 start,
                                                                     sc_dt::uint64 end) {
    demand(start <= end, "direct memory access is withdrawn for no address");
    initiator_side->invalidate_direct_mem_ptr(start, end);
}

template class BasicProtocolCheckerModule<tlm::tlm_base_protocol_types>;
template class BasicProtocolCheckerModule<DoorbellProtocol>;
template class BasicProtocolCheckerModule<AtsProtocol>;
template class BasicProtocolCheckerModule<DeviceTlbProtocol>;

}  // namespace mmusim::models
