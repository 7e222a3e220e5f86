// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// The last entries of something that happens again and again, oldest first. Each has its `time`;
/// some also have their `position` in the stream.
template <class Entry>
class Recent {
public:
    explicit Recent(std::size_t capacity) : capacity_(capacity) {}

    void push(const Entry& entry) {
        entries_.push_back(entry);
        if (entries_.size() <= capacity_) return;
        dropped_ = entries_.front();
        entries_.pop_front();
    }
    std::deque<Entry>& all() { return entries_; }
    const std::deque<Entry>& all() const { return entries_; }

    /// Whether everything from `time` on is still here.
    bool complete_from(rmap::Instant time) const { return !dropped_ || dropped_->time < time; }

    /// Whether everything after `position` is still here.
    bool complete_after(std::uint64_t position) const {
        return !dropped_ || dropped_->position <= position;
    }

private:
    const std::size_t capacity_;
    std::deque<Entry> entries_;
    std::optional<Entry> dropped_;  ///< the last that had to go
};

}  // namespace mmusim::platform
