// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/tlb/set_associative.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

/// A paging-structure cache of level-2 entries (Intel SDM vol. 3, 4.10.3): where the page table of
/// a 2 MiB region is, by the context in which it was found. Plain: no time of its own.
class WalkCache {
public:
    using Context = std::uint32_t;  ///< a PASID

    /// No entries: always a miss.
    explicit WalkCache(const ArrayGeometry& geometry) : entries_(geometry) {}

    const WalkedTable* lookup(Context context, rmap::VirtAddr address) {
        ++lookups_;
        const auto* found = entries_.find(region(address), {region(address), context});
        if (found) ++hits_;
        return found;
    }

    void insert(Context context, rmap::VirtAddr address, const WalkedTable& table) {
        entries_.insert(region(address), {region(address), context}, table);
    }

    /// An invalidation that takes effect at `at`: drops the entries of `context` whose region has
    /// pages in `range` and that depend on anything read until then. Returns how many.
    std::uint64_t invalidate(Context context, const rmap::VirtRange& range, rmap::Instant at) {
        const std::uint64_t first = region(range.start);
        const std::uint64_t last = region({range.end.value - 1});
        const auto matches = [&](const Key& key, const WalkedTable& table) {
            return key.context == context && key.region >= first && key.region <= last &&
                   table.oldest_read <= at;
        };
        return first == last ? entries_.erase_in_set(first, matches) : entries_.erase_if(matches);
    }

    std::uint64_t lookups() const { return lookups_; }
    std::uint64_t hits() const { return hits_; }

private:
    struct Key {
        std::uint64_t region = 0;
        Context context = 0;
        friend bool operator==(const Key& a, const Key& b) {
            return a.region == b.region && a.context == b.context;
        }
    };

    static std::uint64_t region(rmap::VirtAddr address) { return address.value / rmap::kLargeSize; }

    SetAssociative<Key, WalkedTable> entries_;
    std::uint64_t lookups_ = 0;
    std::uint64_t hits_ = 0;
};

}  // namespace mmusim::models
