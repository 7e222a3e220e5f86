// SPDX-License-Identifier: Apache-2.0
#include "models/walker/page_walker_module.hpp"

#include "models/tlm/thread_time.hpp"

namespace mmusim::models {

namespace {

/// Memory over a socket, in the name of the request.
class SocketPort final : public WalkPort {
public:
    SocketPort(MemoryAccesses& accesses, MemoryAccesses::Port& memory,
               const TranslationExtension& request, sc_core::sc_time& delay)
        : accesses_(accesses), memory_(memory), request_(request), delay_(delay) {}

    Read access(rmap::PhysAddr address, const rmap::PhysMemPort::Apply* apply) override {
        const auto result = accesses_.access(
            memory_, {request_.operation, request_.time, request_.cache, request_.part}, address,
            apply, delay_);
        return {result.word, result.at};
    }
    void spend(rmap::Duration time) override { delay_ += to_sc_time(time); }

private:
    MemoryAccesses& accesses_;
    MemoryAccesses::Port& memory_;
    const TranslationExtension& request_;
    sc_core::sc_time& delay_;
};

}  // namespace

PageWalkerModule::PageWalkerModule(const sc_core::sc_module_name& name, const WalkerConfig& config)
    : sc_module(name), walker_(config) {
    data_socket.register_b_transport(this, &PageWalkerModule::b_transport);
    fetch_socket.register_b_transport(this, &PageWalkerModule::b_transport);
}

void PageWalkerModule::b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
    auto& request = extension_of<TranslationExtension>(trans, name());
    SocketPort port(accesses_, *memory_socket.operator->(), request, delay);
    const auto result = walker_.walk(
        {rmap::VirtAddr{trans.get_address()}, request.access, TlbTag(request.pcid, request.vm),
         request.root, request.ept_root, request.known_table},
        port);
    request.fault = result.fault;
    request.translation = result.translation;
    request.violation = result.violation;
    request.page_table = result.table;
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

}  // namespace mmusim::models
