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
    if (config.level > 1) return;
    data_socket.register_get_direct_mem_ptr(this, &TlbModule::grant<Stream::kData>);
    fetch_socket.register_get_direct_mem_ptr(this, &TlbModule::grant<Stream::kFetch>);
    grant_.lookup = config.lookup;
    grant_.stats = &array_.stats();
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
    const auto evicted = array_.insert(page, tag, request.translation);
    if (evicted && evicted->granted) withdraw(evicted->key.pages());
    // It may answer from now on for pages of entries of other sizes.
    if (array_.has_several_sizes()) withdraw(request.translation.pages_around(page));
    delay += fill_;
}

std::uint64_t TlbModule::invalidate(const TlbScope& scope) {
    if (scope.stages == TlbScope::Stages::kSecond) return 0;
    const auto dropped = array_.invalidate_pages(scope);
    if (dropped.granted.start < dropped.granted.end) withdraw(dropped.granted);
    return dropped.entries;
}

template <Stream stream>
bool TlbModule::grant(tlm::tlm_generic_payload& trans, tlm::tlm_dmi& dmi) {
    const auto& request = extension_of<TranslationExtension>(trans, name());
    const auto page = rmap::page_of(rmap::VirtAddr{trans.get_address()});
    const auto entry = array_.grant(page, {request.pcid, request.vm});
    if (!entry) return false;
    grant_.translation = entry->translation;
    grant_.order = entry->key.order();
    granted_[static_cast<std::size_t>(stream)] = true;
    const auto pages = entry->key.pages();
    dmi.set_dmi_ptr(reinterpret_cast<unsigned char*>(&grant_));
    dmi.set_start_address(pages.start.value);
    dmi.set_end_address(pages.end.value - 1);
    dmi.set_granted_access(tlm::tlm_dmi::DMI_ACCESS_READ_WRITE);
    dmi.set_read_latency(lookup_);
    dmi.set_write_latency(lookup_);
    return true;
}

void TlbModule::withdraw(const rmap::VirtRange& pages) {
    for (const Stream stream : {Stream::kData, Stream::kFetch})
        if (granted_[static_cast<std::size_t>(stream)])
            socket(stream)->invalidate_direct_mem_ptr(pages.start.value, pages.end.value - 1);
}

void TlbModule::ask_below(tlm::tlm_generic_payload& trans, TranslationExtension& request,
                          const Translation hit, sc_core::sc_time& delay) {
    next_socket->b_transport(trans, delay);
    answer(trans, request, hit);
}

}  // namespace mmusim::models
