// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/tlb/live_spaces.hpp"
#include "models/tlb/set_associative.hpp"
#include "models/tlb/tlb_config.hpp"
#include "models/tlb/tlb_key.hpp"
#include "models/tlb/tlb_scope.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

struct TlbStats {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t invalidated = 0;  ///< entries dropped by invalidations

    std::uint64_t lookups() const { return hits + misses; }
};

/// The entries of one TLB level: of a core, a guest's second stage, an IOMMU or a device. Plain: no
/// time. Keys are the full page number, its size and the tag.
class TlbArray {
public:
    explicit TlbArray(const TlbConfig& config);
    TlbArray(const TlbArray&) = delete;
    TlbArray& operator=(const TlbArray&) = delete;

    /// If entries of several sizes answer, which is the software's mistake, the largest does.
    /// A hit needs the permission and, for a store, an entry that is known to be dirty: otherwise
    /// the page-table entry has to be looked at again (Intel SDM vol. 3, 4.8 and 4.10.2.3).
    [[gnu::always_inline]] const Translation* lookup(rmap::PageNumber page, TlbTag tag,
                                                     rmap::Access access) {
        const Translation* found = find_last_used(page, tag);
        if (!found) found = find(page, tag);
        if (live_spaces_.limited() && found) live_spaces_.use(tag);
        const bool usable = found && found->allows(access);
        ++(usable ? stats_.hits : stats_.misses);
        return usable ? found : nullptr;
    }

    /// Whether lookup() would find something: nothing is counted or used.
    bool would_hit(rmap::PageNumber page, TlbTag tag, rmap::Access access) const;

    struct Entry {
        TlbKey key;
        Translation translation;
        bool granted = false;  ///< grant() has given it
    };
    /// The entry that a lookup would find, if another use of it would change nothing; no use
    /// itself.
    std::optional<Entry> grant(rmap::PageNumber page, TlbTag tag);

    /// What an insertion has cost.
    struct Gone {
        std::optional<Entry> evicted;
        bool granted_self = false;    ///< its old self, which was granted
        std::optional<TlbTag> space;  ///< that is live no more, with all its entries
    };
    /// A large page that has to be kept in pieces is kept as the piece with `page`.
    Gone insert(rmap::PageNumber page, TlbTag tag, const Translation& translation);

    /// Drops the entries of the scope, all pieces of a page included (Intel SDM vol. 3, 4.10.4.1).
    std::uint64_t invalidate(const TlbScope& scope) { return invalidate_pages(scope).entries; }

    /// What an invalidation has dropped.
    struct Dropped {
        std::uint64_t entries = 0;
        /// Spans those that were granted; without any, it starts after its end.
        rmap::VirtRange granted = {rmap::kAllAddresses.end, rmap::kAllAddresses.start};
    };
    Dropped invalidate_pages(const TlbScope& scope);
    // Likewise, for reasons of the hierarchy's own, which do not count as invalidations:
    /// All of a space but global ones.
    Dropped drop(TlbTag space);
    /// What is kept of these pages for the same space.
    Dropped drop(const TlbKey& key);
    /// What a lookup would find.
    void drop(rmap::PageNumber page, TlbTag tag);

    /// Entries of several sizes may answer for one page.
    bool has_several_sizes() const { return probes_.size() > 1; }

    const TlbStats& stats() const { return stats_; }
    TlbStats& stats() { return stats_; }

private:
    struct Held {
        Translation translation;
        bool granted = false;
    };
    using Entries = SetAssociative<TlbKey, Held>;
    struct PageArray {
        std::vector<unsigned> orders;  ///< ascending
        Entries entries;
        std::uint64_t held = 0;         ///< sizes that there have been, a bit per order
        std::uint64_t held_global = 0;  ///< likewise, of global entries
        bool held_pieces = false;

        explicit PageArray(const PageArrayConfig& config);
    };
    /// A size for which an array is looked into: one that it has held before.
    struct Probe {
        Entries* entries;
        unsigned order;
        bool globals;  ///< has held global entries, too
    };

    const Translation* find(rmap::PageNumber page, TlbTag tag);
    /// Quickly, what was used last of the largest size; null: it has to be looked for.
    const Translation* find_last_used(rmap::PageNumber page, TlbTag tag) const {
        if (probes_.empty()) return nullptr;
        const Probe& largest = probes_.front();
        const Held* held = largest.entries->find_last_used(page.value >> largest.order,
                                                           {page, tag, largest.order});
        return held ? &held->translation : nullptr;
    }
    template <class Matches>
    Dropped erase(const rmap::VirtRange& pages, bool pieces, Matches&& matches);
    /// Where a page of some size is kept, and as a page of which size.
    struct Place {
        PageArray* array = nullptr;  ///< null: nowhere
        unsigned order = 0;
    };
    Place place_for(unsigned order);
    void update_probes();

    std::vector<PageArray> arrays_;
    std::vector<Place> places_;  ///< by order
    std::vector<Probe> probes_;  ///< the largest size first
    LiveSpaces live_spaces_;
    TlbStats stats_;
};

}  // namespace mmusim::models
