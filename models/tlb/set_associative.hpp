// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mmusim::models {

/// A set-associative array with true LRU replacement: TLBs and data caches alike. Set index = low
/// bits of the index number, tags compared in full, so that two keys never share an entry.
/// Storage of a set is made when the set is first written.
template <class Key, class Value>
class SetAssociative {
public:
    struct Entry {
        Key key{};
        Value value{};
        std::uint64_t stamp = 0;  ///< last use; 0 = empty
    };

    /// entries is a multiple of ways, entries / ways a power of two. No entries: always a miss.
    SetAssociative(std::size_t entries, std::size_t ways)
        : ways_(ways), sets_(ways ? entries / ways : 0) {}

    /// The entry's value, made most recently used; nullptr when absent.
    Value* find(std::uint64_t index, const Key& key) {
        if (sets_.empty()) return nullptr;
        for (Entry& entry : set_of(index))
            if (entry.stamp && entry.key == key) {
                entry.stamp = ++clock_;
                return &entry.value;
            }
        return nullptr;
    }

    /// Writes the entry over its old self, an empty place or the least recently used one.
    void insert(std::uint64_t index, const Key& key, const Value& value) {
        if (sets_.empty()) return;
        auto& set = set_of(index);
        if (set.empty()) set.resize(ways_);
        Entry* victim = &set.front();
        for (Entry& entry : set) {
            if (entry.stamp && entry.key == key) {
                victim = &entry;
                break;
            }
            if (entry.stamp < victim->stamp) victim = &entry;
        }
        *victim = {key, value, ++clock_};
    }

    /// Drops the entries of one set that match; returns how many.
    template <class Matches>
    std::uint64_t erase_in_set(std::uint64_t index, Matches&& matches) {
        return sets_.empty() ? 0 : erase_from(set_of(index), matches);
    }
    /// Drops all entries that match; returns how many.
    template <class Matches>
    std::uint64_t erase_if(Matches&& matches) {
        std::uint64_t erased = 0;
        for (auto& set : sets_) erased += erase_from(set, matches);
        return erased;
    }

private:
    std::vector<Entry>& set_of(std::uint64_t index) { return sets_[index & (sets_.size() - 1)]; }

    template <class Matches>
    static std::uint64_t erase_from(std::vector<Entry>& set, Matches& matches) {
        std::uint64_t erased = 0;
        for (Entry& entry : set)
            if (entry.stamp && matches(entry.key, entry.value)) {
                entry.stamp = 0;
                ++erased;
            }
        return erased;
    }

    std::size_t ways_;
    std::uint64_t clock_ = 0;
    std::vector<std::vector<Entry>> sets_;
};

}  // namespace mmusim::models
