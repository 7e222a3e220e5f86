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
#include "models/tlb/way_index.hpp"

namespace mmusim::models {

/// A set-associative array: TLBs, walk caches and data caches alike. Tags are compared in full, so
/// that two keys never share an entry; a key always comes with the same number. Plain: no time.
/// Storage of a set is made when the set is first written.
template <class Key, class Value>
class SetAssociative {
public:
    /// No entries: always a miss.
    explicit SetAssociative(const ArrayGeometry& geometry)
        : ways_(geometry.ways),
          index_(geometry.index, geometry.sets()),
          replacement_(geometry.replacement, geometry.ways),
          sets_(std::max<std::size_t>(geometry.sets(), 1)),
          no_entries_(geometry.sets() == 0) {}

    /// The entry's value, and a use of it; nullptr when absent. `number` chooses the set.
    Value* find(std::uint64_t number, const Key& key) {
        Set* set = set_of(number);
        if (!set) return nullptr;
        if (set->last_is(key)) return &*set->values[set->last_used];
        const unsigned way = way_of(*set, number, key);
        if (way == kNone) return nullptr;
        use(*set, way);
        return &*set->values[way];
    }
    /// The entry's value if it is its set's last used one, of which another use changes nothing.
    Value* find_last_used(std::uint64_t number, const Key& key) {
        Set* set = set_of(number);
        return set && set->last_is(key) ? &*set->values[set->last_used] : nullptr;
    }

    /// The entry's value, null when absent, and whether its way was used last; no use itself.
    struct Peek {
        Value* value = nullptr;
        bool last_used = false;
    };
    Peek peek(std::uint64_t number, const Key& key) {
        Set* set = set_of(number);
        const unsigned way = set ? way_of(*set, number, key) : kNone;
        if (way == kNone) return {};
        return {&*set->values[way], way == set->last_used};
    }

    /// Writes the entry, which is a use of it, over its old self, an empty way or the one that the
    /// policy chooses; evicted(key, value) is told what has to go, its old self included.
    template <class Evicted>
    void insert(std::uint64_t number, const Key& key, const Value& value, Evicted&& evicted) {
        if (no_entries_) return evicted(key, value);
        auto& slot = sets_[index_(number)];
        if (!slot) slot = std::make_unique<Set>(ways_, replacement_.no_uses());
        Set& set = *slot;
        unsigned way = way_of(set, number, key);
        if (way == kNone) {
            way = set.held == ways_ ? replacement_.victim(set.uses) : set.empty_way();
            if (set.values[way]) {
                evicted(set.keys[way], *set.values[way]);
                set.erase(way);
            }
            set.add(number, way, key);
        } else {
            evicted(key, *set.values[way]);
        }
        set.values[way] = value;
        use(set, way);
    }
    void insert(std::uint64_t number, const Key& key, const Value& value) {
        insert(number, key, value, [](const Key&, const Value&) {});
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
    static constexpr unsigned kNone = WayIndex::kNone;
    static constexpr unsigned kMostSearched = 16;  ///< ways of a set without an index

    struct Set {
        unsigned last_used = 0;  ///< way
        bool last_held = false;  ///< and there still is something in it
        unsigned held = 0;
        std::vector<Key> keys;                     ///< by way, next to each other
        std::vector<std::optional<Value>> values;  ///< by way; none: an empty way
        Replacement::State uses;
        std::unique_ptr<WayIndex> index;  ///< of many ways

        Set(unsigned ways, Replacement::State no_uses)
            : keys(ways), values(ways), uses(std::move(no_uses)) {
            if (ways > kMostSearched) index = std::make_unique<WayIndex>(ways);
        }

        bool is(unsigned way, const Key& key) const { return keys[way] == key && values[way]; }
        bool last_is(const Key& key) const { return last_held && keys[last_used] == key; }
        unsigned empty_way() const {
            const auto is_empty = [](const auto& value) { return !value; };
            return static_cast<unsigned>(std::find_if(values.begin(), values.end(), is_empty) -
                                         values.begin());
        }
        void add(std::uint64_t number, unsigned way, const Key& key) {
            keys[way] = key;
            ++held;
            if (index) index->add(number, way);
        }
        void erase(unsigned way) {
            values[way].reset();
            --held;
            if (way == last_used) last_held = false;
            if (index) index->remove(way);
        }
        template <class Matches>
        std::uint64_t erase_if(Matches& matches) {
            const unsigned before = held;
            for (unsigned way = 0; way < keys.size(); ++way)
                if (values[way] && matches(keys[way], *values[way])) erase(way);
            return before - held;
        }
    };

    Set* set_of(std::uint64_t number) { return sets_[index_(number)].get(); }
    unsigned way_of(const Set& set, std::uint64_t number, const Key& key) const {
        if (set.index)
            return set.index->find(number, [&](unsigned way) { return set.is(way, key); });
        for (unsigned way = 0; way < ways_; ++way)
            if (set.is(way, key)) return way;
        return kNone;
    }
    void use(Set& set, unsigned way) {
        set.last_used = way;
        set.last_held = true;
        replacement_.use(set.uses, way);
    }

    unsigned ways_;
    SetIndex index_;
    Replacement replacement_;
    std::vector<std::unique_ptr<Set>> sets_;
    bool no_entries_;
};

}  // namespace mmusim::models
