// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "models/tlb/geometry.hpp"

namespace mmusim::models {

/// A set-associative array: TLBs, walk caches and data caches alike. Tags are compared in full, so
/// that two keys never share an entry. Plain: no time. Storage of a set is made when the set is
/// first written.
template <class Key, class Value>
class SetAssociative {
public:
    /// No entries: always a miss.
    explicit SetAssociative(const ArrayGeometry& geometry)
        : ways_(geometry.ways),
          index_(geometry.index, geometry.sets()),
          replacement_(geometry.replacement, geometry.ways),
          sets_(geometry.sets()) {}

    /// The entry's value, and a use of it; nullptr when absent. `number` chooses the set.
    Value* find(std::uint64_t number, const Key& key) {
        Set* set = set_of(number);
        const unsigned way = set ? set->way_of(key) : kNone;
        if (way == kNone) return nullptr;
        replacement_.use(set->uses, way);
        return &set->entries[way]->second;
    }

    using Entry = std::pair<Key, Value>;

    /// Writes the entry, which is a use of it, over its old self, an empty way or the one that the
    /// policy chooses. Returns what had to go.
    std::optional<Entry> insert(std::uint64_t number, const Key& key, const Value& value) {
        if (sets_.empty()) return Entry{key, value};
        auto& slot = sets_[index_(number)];
        if (!slot) slot = std::make_unique<Set>(ways_, replacement_.no_uses());
        unsigned way = slot->way_of(key);
        std::optional<Entry> evicted;
        if (way == kNone) {
            way = slot->empty_way();
            if (way == kNone) way = replacement_.victim(slot->uses);
            evicted = std::move(slot->entries[way]);
        }
        slot->entries[way].emplace(key, value);
        replacement_.use(slot->uses, way);
        return evicted;
    }

    /// Drops the entries of one set that match; returns how many.
    template <class Matches>
    std::uint64_t erase_in_set(std::uint64_t number, Matches&& matches) {
        Set* set = set_of(number);
        return set ? set->erase_if(matches) : 0;
    }
    /// Drops all entries that match; returns how many.
    template <class Matches>
    std::uint64_t erase_if(Matches&& matches) {
        std::uint64_t erased = 0;
        for (auto& set : sets_)
            if (set) erased += set->erase_if(matches);
        return erased;
    }

private:
    static constexpr unsigned kNone = ~0u;

    struct Set {
        std::vector<std::optional<Entry>> entries;  ///< by way
        Replacement::State uses;

        Set(unsigned ways, Replacement::State no_uses) : entries(ways), uses(std::move(no_uses)) {}

        template <class Is>
        unsigned first(Is&& is) const {
            const auto found = std::find_if(entries.begin(), entries.end(), is);
            return found == entries.end() ? kNone : static_cast<unsigned>(found - entries.begin());
        }
        unsigned way_of(const Key& key) const {
            return first([&](const auto& entry) { return entry && entry->first == key; });
        }
        unsigned empty_way() const {
            return first([](const auto& entry) { return !entry; });
        }
        template <class Matches>
        std::uint64_t erase_if(Matches& matches) {
            std::uint64_t erased = 0;
            for (auto& entry : entries)
                if (entry && matches(entry->first, entry->second)) {
                    entry.reset();
                    ++erased;
                }
            return erased;
        }
    };

    Set* set_of(std::uint64_t number) {
        return sets_.empty() ? nullptr : sets_[index_(number)].get();
    }

    unsigned ways_;
    SetIndex index_;
    Replacement replacement_;
    std::vector<std::unique_ptr<Set>> sets_;
};

}  // namespace mmusim::models
