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

/// Memory as it is, for a look at it.
class PeekPort final : public WalkPort {
public:
    PeekPort(MemoryAccesses& accesses, MemoryAccesses::Port& memory, ThreadTime& time)
        : accesses_(accesses), memory_(memory), time_(time) {}

    Read access(rmap::PhysAddr address, const rmap::PhysMemPort::Apply*) override {
        return {accesses_.peek(memory_, time_, address), time_.local_now()};
    }
    void spend(rmap::Duration) override {}

private:
    MemoryAccesses& accesses_;
    MemoryAccesses::Port& memory_;
    ThreadTime& time_;
};

/// Bits that software has to set are no reason for a fault: they say nothing about the mapping.
WalkerConfig without_caches(WalkerConfig config) {
    for (auto* stage : {&config.first, &config.second}) {
        stage->caches.clear();
        stage->accessed = stage->dirty = BitUpdate::kHardware;
    }
    config.second_tlb.arrays.clear();
    return config;
}

WalkRequest walk_request(const tlm::tlm_generic_payload& trans,
                         const TranslationExtension& request) {
    return {rmap::VirtAddr{trans.get_address()},
            request.access,
            TlbTag(request.pcid, request.vm),
            request.root,
            request.ept_root,
            request.known_table};
}

}  // namespace

PageWalkerModule::PageWalkerModule(const sc_core::sc_module_name& name, const WalkerConfig& config)
    : sc_module(name), walker_(config), uncached_(without_caches(config)) {
    data_socket.register_b_transport(this, &PageWalkerModule::b_transport);
    fetch_socket.register_b_transport(this, &PageWalkerModule::b_transport);
    core_socket.register_transport_dbg(this, &PageWalkerModule::transport_dbg);
}

void PageWalkerModule::b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
    auto& request = extension_of<TranslationExtension>(trans, name());
    SocketPort port(accesses_, *memory_socket.operator->(), request, delay);
    const auto result = walker_.walk(walk_request(trans, request), port);
    request.fault = result.fault;
    request.translation = result.translation;
    request.violation = result.violation;
    request.page_table = result.table;
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

unsigned PageWalkerModule::transport_dbg(tlm::tlm_generic_payload& trans) {
    auto& request = extension_of<TranslationExtension>(trans, name());
    PeekPort port(accesses_, *memory_socket.operator->(), *request.time);
    const auto result = uncached_.walk(walk_request(trans, request), port);
    request.fault = result.fault;
    request.translation = result.translation;
    return 0;
}

}  // namespace mmusim::models
