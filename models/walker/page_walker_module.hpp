// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <systemc>

#include "models/tlb/tlb_config.hpp"
#include "models/tlm/memory_accesses.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/translation_extension.hpp"
#include "models/walker/table_walker.hpp"

namespace mmusim::models {

/// Models: a page walker with its paging-structure caches: TableWalker on simulated memory, for
/// page tables of any format (rmap::PageTableFormat), of a guest in two stages. Accessed and dirty
/// bits of leaves are set by locked instructions, or a fault asks software to do it.
/// A unit that keeps the cache itself (an IOMMU) says where the walk begins.
/// Does not model: accessed bits of upper levels, supervisor accesses, several root tables of one
/// address space (arm64's TTBR1), prefetches of entries.
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

    /// As TableWalker::invalidate.
    std::uint64_t invalidate(const TlbScope& scope) { return walker_.invalidate(scope); }

    const WalkerStats& stats() const { return walker_.stats(); }
    const TlbStats& second_tlb_stats() const { return walker_.second_tlb_stats(); }

private:
    void b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);

    TableWalker walker_;
    MemoryAccesses accesses_{name()};
};

}  // namespace mmusim::models
