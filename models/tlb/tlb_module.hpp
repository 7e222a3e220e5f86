// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <systemc>
#include <vector>

#include "models/tlb/tlb_filter.hpp"

namespace mmusim::models {

class TranslationExtension;

/// Models: lookup, fill and invalidation of one TLB of a core (Intel SDM vol. 3, 4.10). A miss goes
/// to the next level; what comes back is filled in here as well. One of level 1 grants direct use
/// of an entry after a hit or a fill: the pointer of the DMI is to a TlbGrant, to be copied. It
/// withdraws what it has granted for pages whose entry goes or comes.
/// What is invalidated while its translation is on the way is not filled in. Victims of an
/// exclusive hierarchy are written below in no time, by the way. Does not model: port conflicts,
/// prefetch, levels shared by hardware threads.
class TlbModule final : public sc_core::sc_module {
public:
    template <class M>
    using Target = tlm_utils::passthrough_target_socket_optional<M>;
    template <class M>
    using Initiator = tlm_utils::simple_initiator_socket<M>;

    // Translations, from the core or the level above; by debug transport the question whether this
    // TLB would hit, which changes nothing: the answer is one byte then, else none. They are served
    // alike; one for both streams is bound twice, to the TLBs of the two above, or to one above
    // that is for both, by its first.
    Target<TlbModule> data_socket{"data_socket"};
    Target<TlbModule> fetch_socket{"fetch_socket"};
    Initiator<TlbModule> next_socket{"next_socket"};  ///< level below, or the walker

    TlbModule(const sc_core::sc_module_name& name, const TlbConfig& config);

    /// Before the simulation: what next_socket leads to. Without it, the walker.
    void set_below(TlbModule& below);

    Target<TlbModule>& socket(Stream stream) {
        return stream == Stream::kData ? data_socket : fetch_socket;
    }

    /// Drops the entries of the scope; returns how many. All are found by virtual addresses.
    std::uint64_t invalidate(const TlbScope& scope);

    const TlbConfig& config() const { return config_; }
    const TlbStats& stats() const { return array_.stats(); }

private:
    template <Stream stream>
    bool grant(tlm::tlm_generic_payload& trans, tlm::tlm_dmi& dmi);
    void withdraw(const rmap::VirtRange& pages);
    unsigned answer_debug(tlm::tlm_generic_payload& trans);
    void put(rmap::PageNumber page, TlbTag tag, const Translation& translation);
    template <class Entries>
    void drop_above(const Entries& entries);
    void translate(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    bool invalidated_since(std::size_t first, TlbTag tag, rmap::PageNumber page,
                           const Translation& translation) const;
    [[gnu::noinline]] void refill(tlm::tlm_generic_payload& trans, TranslationExtension& request,
                                  sc_core::sc_time& delay);
    [[gnu::noinline]] void ask_below(tlm::tlm_generic_payload& trans, TranslationExtension& request,
                                     Translation hit, sc_core::sc_time& delay);

    const TlbConfig config_;
    TlbModule* below_ = nullptr;
    std::vector<TlbModule*> above_;
    TlbArray array_;
    const sc_core::sc_time lookup_;
    const sc_core::sc_time fill_;
    const std::uint32_t level_bit_;
    unsigned refills_ = 0;               ///< requests that wait for the level below
    std::vector<TlbScope> invalidated_;  ///< since there was none
    TlbGrant grant_;                     ///< the last one
    bool granted_[2] = {};               ///< by Stream: grants may be out
};

}  // namespace mmusim::models
