// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/tlb/set_associative.hpp"
#include "models/tlb/tlb_array.hpp"
#include "models/tlm/translation.hpp"
#include "models/walker/walker_config.hpp"

namespace mmusim::models {

/// A paging-structure cache of one level (Intel SDM vol. 3, 4.10.3): where the table is that an
/// entry leads to, by the input address's bits above and the tag. Of cores, of their second stages
/// and of IOMMUs. Entries of tables are of one address space each, whatever the pages below are.
/// Plain: no time of its own.
class WalkCache {
public:
    /// No entries: always a miss.
    WalkCache(const WalkCacheConfig& config, const rmap::PageTableFormat& format)
        : level_(config.level),
          shift_(format.level(config.level).shift),
          entries_(config.geometry) {}

    unsigned level() const { return level_; }

    /// The table of the level below, on the way to `address`.
    const WalkedTable* lookup(TlbTag tag, std::uint64_t address) {
        ++lookups_;
        const auto* found = entries_.find(prefix(address), {prefix(address), tag});
        if (found) ++hits_;
        return found;
    }
    void insert(TlbTag tag, std::uint64_t address, const WalkedTable& table) {
        entries_.insert(prefix(address), {prefix(address), tag}, table);
    }
    /// The entry on the way to `address` goes, after a fault there (4.10.4.1).
    void forget(TlbTag tag, std::uint64_t address) {
        const Key key{prefix(address), tag};
        entries_.erase_in_set(key.prefix,
                              [&](const Key& k, const WalkedTable&) { return k == key; });
    }
    /// Drops the entries of the scope; returns how many. Its range is of input addresses.
    std::uint64_t invalidate(const TlbScope& scope);

    std::uint64_t lookups() const { return lookups_; }
    std::uint64_t hits() const { return hits_; }

private:
    struct Key {
        std::uint64_t prefix = 0;
        TlbTag tag;
        friend bool operator==(const Key& a, const Key& b) {
            return a.prefix == b.prefix && a.tag == b.tag;
        }
    };

    std::uint64_t prefix(std::uint64_t address) const { return address >> shift_; }

    unsigned level_;
    unsigned shift_;
    SetAssociative<Key, WalkedTable> entries_;
    std::uint64_t lookups_ = 0;
    std::uint64_t hits_ = 0;
};

}  // namespace mmusim::models
