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

/// The grants that a core holds of a TLB. Of each set only that for the last used way may be used:
/// a use of another way changes the set's replacement. Plain: no time.
class TlbFilter {
public:
    explicit TlbFilter(const TlbConfig& tlb);

    struct Held {
        TlbKey key;                ///< of no page: nothing is held here
        std::uint64_t serial = 0;  ///< of the grant: no two have the same
        TlbGrant grant;
    };
    struct Usable {
        const Held* held = nullptr;              ///< null: none is
        const std::uint64_t* current = nullptr;  ///< as long as it is the serial it may be used
    };
    /// The grant for the page, if there is one that may be used.
    Usable find(rmap::PageNumber page, TlbTag tag) const;

    // After every access through the TLB:
    /// It has missed: ways of all sets in which `page` may be were used, and it has no entry that
    /// a grant could be for.
    void missed(rmap::PageNumber page, TlbTag tag);
    /// It has an entry for `page`, of which 4 KiB << order are translated alike, that is its set's
    /// last used way now. Returns its grant, if it is held, or whether to ask for one: when the
    /// set's last such use was for the same page. Without locality grants cost more than they save.
    struct Use {
        Usable usable;
        bool ask = false;
    };
    Use used(rmap::PageNumber page, TlbTag tag, unsigned order);
    /// Granted to `tag`, for the pages around `page`.
    Usable keep(rmap::PageNumber page, TlbTag tag, const TlbGrant& grant);
    /// Withdrawn for these pages, in every space.
    void withdraw(const rmap::VirtRange& pages);

private:
    struct Probe {
        unsigned order;
        std::size_t first_set;  ///< of its array
        SetIndex index;

        std::size_t set_of(rmap::PageNumber page) const {
            return first_set + index(page.value >> order);
        }
    };
    /// Grants are held for a few of its ways.
    struct Set {
        std::uint64_t current = 0;  ///< serial of the grant that may be used; 0: none
        unsigned used = 0;          ///< where it is
        unsigned next = 0;          ///< where the next one goes
        std::uint64_t last_number = ~std::uint64_t{0};  ///< of the last use
        std::vector<Held> held;

        Usable usable() const { return {&held[used], &current}; }
    };

    std::vector<Probe> sizes_;   ///< of the TLB's arrays, the largest first: its order of search
    std::vector<Probe> probes_;  ///< of these, those that there were grants for
    std::uint64_t granted_ = 0;  ///< likewise, a bit per order
    std::vector<Set> sets_;
    std::uint64_t serials_ = 0;
};

}  // namespace mmusim::models
