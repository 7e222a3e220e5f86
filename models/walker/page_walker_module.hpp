// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <optional>
#include <systemc>

#include "models/tlb/tlb_config.hpp"
#include "models/tlm/memory_accesses.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/translation_extension.hpp"
#include "models/walker/walker_config.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::models {

struct WalkerStats {
    std::uint64_t walks = 0;
    std::uint64_t nested = 0;   ///< of them, those of a guest, with a second stage
    std::uint64_t reads = 0;    ///< page-table entries read; of a nested walk, the guest's own
    std::uint64_t assists = 0;  ///< accessed or dirty bits set in these
    std::uint64_t faults = 0;   ///< page faults, a guest's included
    std::uint64_t second_stage_reads = 0;    ///< second-stage entries read
    std::uint64_t second_stage_assists = 0;  ///< accessed or dirty bits set in these
    std::uint64_t violations = 0;            ///< walks that the second stage has ended
};

/// Models: the walk of four-level x86-64 page tables with 4 KiB and 2 MiB pages (Intel SDM vol. 3,
/// 4.5), reading entries from memory and setting accessed and dirty bits by locked instructions
/// that fail when the entry changed meanwhile (4.8). For a guest, the two-dimensional walk (28.3):
/// the address of each of its entries and of the page goes through the second stage, 24 reads for
/// a page that both stages map with 4 KiB. The guest's tables count as written by every access of
/// a walk (28.3.5): their second-stage leaves have to be writable and become dirty. Bits of the
/// guest are set before the page's own second stage is looked at, and stay set if that is violated.
/// A caller that keeps a paging-structure cache (WalkCache) says where the walk begins.
/// Does not model: paging-structure caches of cores, a cache of second-stage translations, accessed
/// bits of upper levels of either stage, 1 GiB pages, execute and write permissions of the upper
/// levels of the first stage, supervisor permissions, EPT without accessed and dirty bits.
class PageWalkerModule final : public sc_core::sc_module {
public:
    template <class M>
    using Target = tlm_utils::passthrough_target_socket_optional<M>;

    // Walks, from the last TLB of a stream; from one for both streams, data_socket.
    Target<PageWalkerModule> data_socket{"data_socket"};
    Target<PageWalkerModule> fetch_socket{"fetch_socket"};
    tlm_utils::simple_initiator_socket<PageWalkerModule> memory_socket{"memory_socket"};

    PageWalkerModule(const sc_core::sc_module_name& name, const WalkerConfig& config);

    Target<PageWalkerModule>& socket(Stream stream) {
        return stream == Stream::kData ? data_socket : fetch_socket;
    }

    const WalkerStats& stats() const { return stats_; }

private:
    void b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    rmap::Fault walk(rmap::VirtAddr address, TranslationExtension& request,
                     sc_core::sc_time& delay);
    rmap::Fault leaf(rmap::PhysAddr at, rmap::Word entry, unsigned level,
                     TranslationExtension& request, sc_core::sc_time& delay);
    std::optional<Translation> second_stage(rmap::GuestPhysAddr address, rmap::Access kind,
                                            TranslationExtension& request, sc_core::sc_time& delay);
    rmap::Fault final_stage(rmap::VirtAddr address, TranslationExtension& request,
                            sc_core::sc_time& delay);
    rmap::Word access(rmap::PhysAddr at, const rmap::PhysMemPort::Apply* apply,
                      TranslationExtension& request, sc_core::sc_time& delay);

    const WalkerConfig config_;
    MemoryAccesses accesses_{name()};
    rmap::Instant read_at_{};                   ///< when the last entry was read
    std::optional<rmap::Instant> oldest_read_;  ///< the first of the walk under way
    WalkerStats stats_;
};

}  // namespace mmusim::models
