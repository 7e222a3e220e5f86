// SPDX-License-Identifier: Apache-2.0
#include "models/cpu/mmu_module.hpp"

#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/translation_extension.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::models {

MmuModule::MmuModule(const sc_core::sc_module_name& name, const MmuConfig& config)
    : sc_module(name), walker("walker", config.walker), config_(config) {
    for (const auto& tlb : config_.tlbs)
        tlbs_.push_back(std::make_unique<TlbModule>(("tlb_" + tlb.name).c_str(), tlb));
    for (const auto& tlb : tlbs_)
        if (TlbModule* below =
                find(config_.next(tlb->config().streams.front(), tlb->config().level)))
            tlb->set_below(*below);
    maintain_socket.register_b_transport(this, &MmuModule::maintain);
}

TlbModule* MmuModule::find(const TlbConfig* tlb) const {
    return tlb ? tlbs_[static_cast<std::size_t>(tlb - config_.tlbs.data())].get() : nullptr;
}

TlbModule::Target<TlbModule>& MmuModule::first(Stream stream) {
    TlbModule* tlb = find(config_.next(stream, 0));
    MMUSIM_CHECK(tlb, "each stream of a core meets a TLB");
    return tlb->socket(stream);
}

void MmuModule::maintain(tlm::tlm_generic_payload& trans, sc_core::sc_time&) {
    auto& request = extension_of<MaintenanceExtension>(trans, name());
    if (const auto scope = scope_of(request.operation)) {
        for (const auto& tlb : tlbs_) request.invalidated += tlb->invalidate(*scope);
        request.invalidated += walker.invalidate(*scope);
    }
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

}  // namespace mmusim::models
