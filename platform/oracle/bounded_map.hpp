// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iterator>
#include <list>
#include <map>
#include <utility>

namespace mmusim::platform {

/// What a monitor keeps by default: far more than can be in flight at a time in a healthy run.
inline constexpr std::size_t kMonitorCapacity = 65536;

/// A map that forgets its oldest entries when it would grow beyond its capacity, so that a stream
/// without end needs bounded memory. Every operation is O(log capacity).
template <class Key, class Value>
class BoundedMap {
public:
    explicit BoundedMap(std::size_t capacity = kMonitorCapacity) : capacity_(capacity) {}

    Value* find(const Key& key) {
        const auto it = index_.find(key);
        return it == index_.end() ? nullptr : &it->second->second;
    }

    /// The value of `key`, made if there is none; then the oldest entry may go.
    Value& at(const Key& key) {
        if (Value* present = find(key)) return *present;
        if (entries_.size() >= capacity_) erase(entries_.front().first);
        entries_.emplace_back(key, Value{});
        index_.emplace(key, std::prev(entries_.end()));
        return entries_.back().second;
    }

    void erase(const Key& key) {
        const auto it = index_.find(key);
        if (it == index_.end()) return;
        const auto entry = it->second;
        index_.erase(it);
        entries_.erase(entry);
    }

private:
    const std::size_t capacity_;
    std::list<std::pair<Key, Value>> entries_;  ///< oldest first
    std::map<Key, typename std::list<std::pair<Key, Value>>::iterator> index_;
};

}  // namespace mmusim::platform
