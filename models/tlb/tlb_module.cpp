// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_module.hpp"

#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/thread_time.hpp"
#include "models/tlm/translation_extension.hpp"

#include <algorithm>

namespace mmusim::models {

namespace {

void answer(tlm::tlm_generic_payload& trans, TranslationExtension& request,
            const Translation& hit) {
    request.translation = hit;
    request.fault = rmap::Fault::kNone;
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

}  // namespace

TlbModule::TlbModule(const sc_core::sc_module_name& name, const TlbConfig& config)
    : sc_module(name),
      config_(config),
      array_(config),
      lookup_(to_sc_time(config.lookup)),
      fill_(to_sc_time(config.fill)),
      level_bit_(std::uint32_t{1} << (config.level - 1)) {
    for (auto* socket : {&data_socket, &fetch_socket}) {
        socket->register_b_transport(this, &TlbModule::translate);
        socket->register_transport_dbg(this, &TlbModule::answer_debug);
    }
    // Accesses by grants would not count as uses of their space.
    if (config.level > 1 || config.live_spaces > 0) return;
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
        if (request.ask_all_levels && below_) return ask_below(trans, request, *hit, delay);
        answer(trans, request, *hit);
        // It moves up, unless the level above has it: then this one is only asked as well.
        if (config_.inclusion == Inclusion::kExclusive && request.missed_levels != 0)
            array_.drop(page, tag);
        return;
    }
    request.missed_levels |= level_bit_;
    refill(trans, request, delay);
}

/// Whether the entry that is on its way was meant by one of the invalidations from the `first` on.
bool TlbModule::invalidated_since(std::size_t first, TlbTag tag, rmap::PageNumber page,
                                  const Translation& translation) const {
    for (std::size_t n = first; n < invalidated_.size(); ++n)
        if (covers(invalidated_[n], translation.global ? tag.as_global() : tag,
                   translation.invalidated_with(page), translation.oldest_read))
            return true;
    return false;
}

void TlbModule::refill(tlm::tlm_generic_payload& trans, TranslationExtension& request,
                       sc_core::sc_time& delay) {
    if (config_.inclusion == Inclusion::kExclusive)
        return next_socket->b_transport(trans, delay);  // filled in above

    const std::size_t first = invalidated_.size();
    ++refills_;
    next_socket->b_transport(trans, delay);
    --refills_;
    const auto page = rmap::page_of(rmap::VirtAddr{trans.get_address()});
    const TlbTag tag(request.pcid, request.vm);
    const bool stale = invalidated_since(first, tag, page, request.translation);
    if (refills_ == 0) invalidated_.clear();
    if (stale || trans.is_response_error() || request.fault != rmap::Fault::kNone) return;
    put(page, tag, request.translation);
    delay += fill_;
}

/// Of all levels above, whatever they are to each other.
template <class Entries>
void TlbModule::drop_above(const Entries& entries) {
    for (TlbModule* above : above_) {
        const auto dropped = above->array_.drop(entries);
        if (dropped.granted.start < dropped.granted.end) above->withdraw(dropped.granted);
        above->drop_above(entries);
    }
}

void TlbModule::put(rmap::PageNumber page, TlbTag tag, const Translation& translation) {
    const auto gone = array_.insert(page, tag, translation);
    // It may answer from now on for pages of entries of other sizes.
    if (gone.granted_self || array_.has_several_sizes()) withdraw(translation.pages_around(page));
    const bool inclusive = config_.inclusion == Inclusion::kInclusive;
    if (gone.space && inclusive) drop_above(*gone.space);
    if (!gone.evicted) return;
    const TlbKey& key = gone.evicted->key;
    if (gone.evicted->granted) withdraw(key.pages());
    if (inclusive) drop_above(key);
    if (below_ && below_->config_.inclusion == Inclusion::kExclusive)
        below_->put(key.page(), key.tag(), gone.evicted->translation);
}

void TlbModule::set_below(TlbModule& below) {
    below_ = &below;
    below.above_.push_back(this);
}

std::uint64_t TlbModule::invalidate(const TlbScope& scope) {
    if (scope.stages == TlbScope::Stages::kSecond) return 0;
    if (refills_ > 0) invalidated_.push_back(scope);
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
