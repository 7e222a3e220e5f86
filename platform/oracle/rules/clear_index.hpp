// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "platform/oracle/bounded_map.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::platform {

/// Cleared page-table entries, found by frame and, as long as something is owed for them, by
/// address. Ids ascend with time.
template <class Clear>
class ClearIndex {
public:
    using Id = std::uint64_t;
    struct Place {
        rmap::MmId mm = 0;
        rmap::VirtAddr address{};
        rmap::FrameNumber frame{};
    };

    /// All clears from now on have this id or a larger one.
    Id next() const { return next_; }

    /// Something is owed for it.
    Id add(const Place& place, const Clear& clear) {
        const Id id = next_++;
        clears_.emplace(id, Entry{place, clear});
        by_frame_.emplace(place.frame.value, id);
        owed_.emplace(place.mm, place.address.value, id);
        return id;
    }

    Clear& at(Id id) { return clears_.at(id).clear; }
    const Clear& at(Id id) const { return clears_.at(id).clear; }

    /// Nothing is owed for it any more.
    void settle(Id id) {
        const Place& place = clears_.at(id).place;
        owed_.erase({place.mm, place.address.value, id});
    }
    void erase(Id id) {
        settle(id);
        by_frame_.erase({clears_.at(id).place.frame.value, id});
        clears_.erase(id);
    }

    /// The oldest one, if there are more than kMonitorCapacity.
    std::optional<Id> excess() const {
        if (clears_.size() <= kMonitorCapacity) return std::nullopt;
        return clears_.begin()->first;
    }

    /// Those for which something is owed, by address.
    std::vector<Id> owed(rmap::MmId mm, rmap::VirtRange range) const {
        std::vector<Id> result;
        for (auto it = owed_.lower_bound({mm, range.start.value, 0});
             it != owed_.end() && std::get<0>(*it) == mm && std::get<1>(*it) < range.end.value;
             ++it)
            result.push_back(std::get<2>(*it));
        return result;
    }

    /// Those of mappings of 2^`order` frames from `frame` on, by frame.
    std::vector<Id> ids_of(rmap::FrameNumber frame, std::uint64_t order) const {
        std::vector<Id> result;
        const std::uint64_t end = frame.value + (std::uint64_t{1} << order);
        for (auto it = by_frame_.lower_bound({frame.value, 0});
             it != by_frame_.end() && it->first < end; ++it)
            result.push_back(it->second);
        return result;
    }
    std::vector<Clear> of(rmap::FrameNumber frame, std::uint64_t order) const {
        std::vector<Clear> result;
        for (const Id id : ids_of(frame, order)) result.push_back(at(id));
        return result;
    }

private:
    struct Entry {
        Place place;
        Clear clear;
    };

    Id next_ = 1;
    std::map<Id, Entry> clears_;
    std::set<std::pair<std::uint64_t, Id>> by_frame_;
    std::set<std::tuple<rmap::MmId, std::uint64_t, Id>> owed_;
};

}  // namespace mmusim::platform
