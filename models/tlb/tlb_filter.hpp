// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "models/tlb/tlb_array.hpp"
#include "models/tlb/tlb_key.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

/// What a TLB next to a core grants for one space and the pages of one entry: until it is
/// withdrawn, an access that the translation allows is a hit of that TLB with it, takes its lookup
/// time, and leaves its replacement as it is. Whoever makes use of it counts such hits.
struct TlbGrant {
    Translation translation;
    unsigned order = 0;  ///< of the entry's pages, which may be a piece of the translation's
    rmap::Duration lookup{};
    TlbStats* stats = nullptr;  ///< the TLB's, in which hits are counted
};

/// The grants that a core holds of a TLB: one for each set, the last used way of it. Holding more
/// would be wrong, since a use of another way changes the set's replacement. Plain: no time.
class TlbFilter {
public:
    explicit TlbFilter(const TlbConfig& tlb);

    /// The grant for the access, if there is one; counts the hit.
    const TlbGrant* find(rmap::PageNumber page, TlbTag tag, rmap::Access access) const {
        for (const Probe& probe : probes_) {
            const Slot& slot = slots_[probe.slot_of(page)];
            if (!(slot.key == TlbKey(page, tag, probe.order))) continue;
            if (!(slot.allowed >> static_cast<unsigned>(access) & 1)) return nullptr;
            ++slot.grant.stats->lookups;
            ++slot.grant.stats->hits;
            return &slot.grant;
        }
        return nullptr;
    }

    // After every access through the TLB:
    /// It has missed: ways of all sets in which `page` may be were used.
    void missed(rmap::PageNumber page);
    /// It has an entry for `page`, of which 4 KiB << order are translated alike, that is its set's
    /// last used way now. Returns whether to ask for a grant: when the set's last such use was for
    /// the same page. Without locality grants cost more than they save.
    bool used(rmap::PageNumber page, unsigned order);
    /// Granted to `tag`, for the pages around `page`.
    void keep(rmap::PageNumber page, TlbTag tag, const TlbGrant& grant);
    /// Withdrawn for these pages, in every space.
    void withdraw(const rmap::VirtRange& pages);

private:
    struct Probe {
        unsigned order;
        std::size_t first_slot;  ///< of its array
        SetIndex index;

        std::size_t slot_of(rmap::PageNumber page) const {
            return first_slot + index(page.value >> order);
        }
    };
    struct Slot {
        TlbKey key;
        std::uint64_t last_number = ~std::uint64_t{0};  ///< of the set's last use
        TlbGrant grant;
        std::uint8_t allowed = 0;  ///< a bit for each rmap::Access
    };

    std::vector<Probe> sizes_;   ///< of the TLB's arrays, the largest first: its order of search
    std::vector<Probe> probes_;  ///< of these, those that there were grants for
    std::uint64_t granted_ = 0;  ///< likewise, a bit per order
    std::vector<Slot> slots_;    ///< one for each set
};

}  // namespace mmusim::models
