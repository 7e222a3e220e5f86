// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <functional>
#include <memory>
#include <systemc>
#include <utility>
#include <vector>

#include "models/cpu/mmu_config.hpp"
#include "models/tlb/tlb_module.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/translation_extension.hpp"

namespace mmusim::test {

/// The TLBs of a core between stubs: one that asks, and one that maps every page to its own frame.
class TlbBench final : public sc_core::sc_module {
public:
    explicit TlbBench(std::vector<models::TlbConfig> configs,
                      const sc_core::sc_module_name& name = "bench")
        : sc_module(name) {
        config_.tlbs = std::move(configs);
        for (const auto& config : config_.tlbs)
            tlbs_.push_back(std::make_unique<models::TlbModule>(config.name.c_str(), config));
        for (const auto& one : tlbs_) bind_next(*one);
        for (const auto stream : {models::Stream::kData, models::Stream::kFetch}) {
            auto& core = core_[static_cast<std::size_t>(stream)];
            core.register_invalidate_direct_mem_ptr(this, &TlbBench::withdraw);
            if (const auto* first = config_.next(stream, 0)) core.bind(of(first).socket(stream));
            table_[static_cast<std::size_t>(stream)].register_b_transport(this, &TlbBench::walk);
        }
    }

    models::TlbModule& tlb(std::size_t n) { return *tlbs_[n]; }

    /// Returns the levels that have missed, as bits.
    std::uint32_t access(std::uint64_t page, rmap::Pcid pcid = 1,
                         rmap::Access access = rmap::Access::kRead, bool ask_all_levels = false) {
        auto& request = payload_.extension();
        request.pcid = pcid;
        request.access = access;
        request.ask_all_levels = ask_all_levels;
        request.missed_levels = 0;
        payload_.payload().set_address(page << rmap::kPageShift);
        sc_core::sc_time delay;
        core_[access == rmap::Access::kExecute]->b_transport(payload_.start(), delay);
        return request.missed_levels;
    }
    rmap::FrameNumber frame() { return payload_.extension().translation.frame; }

    /// What is granted for loads after an access, if anything is.
    const models::TlbGrant* grant(std::uint64_t page) {
        payload_.payload().set_address(page << rmap::kPageShift);
        if (!core_[0]->get_direct_mem_ptr(payload_.payload(), dmi)) return nullptr;
        return reinterpret_cast<const models::TlbGrant*>(dmi.get_dmi_ptr());
    }
    /// First pages of what was withdrawn since the last call.
    std::vector<std::uint64_t> withdrawn() { return std::exchange(withdrawn_, {}); }

    tlm::tlm_dmi dmi;

    // Of the table's pages:
    std::uint8_t order = 0;
    bool global = false;
    /// Runs while a walk waits for memory.
    std::function<void()> meanwhile;

private:
    models::TlbModule& of(const models::TlbConfig* config) {
        return *tlbs_[static_cast<std::size_t>(config - config_.tlbs.data())];
    }
    void bind_next(models::TlbModule& from) {
        const auto stream = from.config().streams.front();
        if (const auto* next = config_.next(stream, from.config().level)) {
            from.next_socket.bind(of(next).socket(stream));
            from.set_below(of(next));
        } else {
            from.next_socket.bind(table_[static_cast<std::size_t>(stream)]);
        }
    }
    void withdraw(sc_dt::uint64 start, sc_dt::uint64) {
        withdrawn_.push_back(start >> rmap::kPageShift);
    }
    void walk(tlm::tlm_generic_payload& trans, sc_core::sc_time&) {
        if (meanwhile) meanwhile();
        auto& request = payload_.extension();
        request.translation = {};
        request.translation.order = order;
        request.translation.global = global;
        request.translation.executable = true;
        request.translation.frame.value = trans.get_address() >> rmap::kPageShift >> order << order;
        request.fault = rmap::Fault::kNone;
        trans.set_response_status(tlm::TLM_OK_RESPONSE);
    }

    template <class M>
    using Core = tlm_utils::simple_initiator_socket_optional<M>;
    template <class M>
    using Table = tlm_utils::passthrough_target_socket_optional<M>;

    Core<TlbBench> core_[2];  ///< by Stream
    Table<TlbBench> table_[2];
    models::MmuConfig config_;
    std::vector<std::unique_ptr<models::TlbModule>> tlbs_;
    models::OwnPayload<models::TranslationExtension> payload_;
    std::vector<std::uint64_t> withdrawn_;
};

inline std::vector<models::TlbConfig> one_level(models::TlbConfig tlb) {
    tlb.name = "tlb";
    return {tlb};
}

}  // namespace mmusim::test
