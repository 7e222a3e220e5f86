// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_module.hpp"

#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/thread_time.hpp"
#include "models/tlm/translation_extension.hpp"

namespace mmusim::models {

namespace {

void answer(tlm::tlm_generic_payload& trans, TranslationExtension& request,
            const Translation& hit) {
    request.translation = hit;
    request.fault = rmap::Fault::kNone;
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

}  // namespace

TlbModule::TlbModule(const sc_core::sc_module_name& name, const TlbConfig& config, Below below)
    : sc_module(name),
      config_(config),
      below_(below),
      array_(config),
      lookup_(to_sc_time(config.lookup)),
      fill_(to_sc_time(config.fill)),
      level_bit_(std::uint32_t{1} << (config.level - 1)) {
    for (auto* socket : {&data_socket, &fetch_socket}) {
        socket->register_b_transport(this, &TlbModule::translate);
        socket->register_transport_dbg(this, &TlbModule::answer_debug);
    }
}

unsigned TlbModule::answer_debug(tlm::tlm_generic_payload& trans) {
    const auto& request = extension_of<TranslationExtension>(trans, name());
    const auto page = rmap::page_of(rmap::VirtAddr{trans.get_address()});
    return array_.would_hit(page, {request.pcid, request.vm}, request.access) ? 1 : 0;
}

void TlbModule::translate(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
    auto& request = extension_of<TranslationExtension>(trans, name());
    const auto page = rmap::page_of(rmap::VirtAddr{trans.get_address()});
    const TlbTag tag(request.pcid, request.vm);

    delay += lookup_;
    if (const auto* hit = array_.lookup(page, tag, request.access)) {
        if (request.ask_all_levels && below_ == Below::kTlb)
            return ask_below(trans, request, *hit, delay);
        answer(trans, request, *hit);
        return;
    }

    request.missed_levels |= level_bit_;
    next_socket->b_transport(trans, delay);
    if (trans.is_response_error() || request.fault != rmap::Fault::kNone) return;
    // Nothing can have been invalidated meanwhile: only this core's own instructions do that.
    array_.insert(page, tag, request.translation);
    delay += fill_;
}

void TlbModule::ask_below(tlm::tlm_generic_payload& trans, TranslationExtension& request,
                          const Translation hit, sc_core::sc_time& delay) {
    next_socket->b_transport(trans, delay);
    answer(trans, request, hit);
}

}  // namespace mmusim::models
