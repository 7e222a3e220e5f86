// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "models/tlb/tlb_key.hpp"

namespace mmusim::models {

/// The address spaces that have entries in a TLB that keeps a limited number of them, such as the
/// four of Skylake's STLB (tlbdr, VUSec 2022).
class LiveSpaces {
public:
    /// 0: no limit, and nothing is remembered.
    explicit LiveSpaces(unsigned limit) : limit_(limit) {}

    bool limited() const { return limit_ > 0; }

    /// The space's entries were used.
    void use(TlbTag tag) {
        const auto at = std::find(tags_.begin(), tags_.end(), tag);
        if (at != tags_.end()) std::rotate(tags_.begin(), at, at + 1);
    }
    /// The space gets an entry. Returns the one that is live no more.
    std::optional<TlbTag> add(TlbTag tag) {
        use(tag);
        if (!tags_.empty() && tags_.front() == tag) return std::nullopt;
        std::optional<TlbTag> gone;
        if (tags_.size() == limit_) {
            gone = tags_.back();
            tags_.pop_back();
        }
        tags_.insert(tags_.begin(), tag);
        return gone;
    }
    /// Spaces that lose all their entries.
    void remove(const TlbScope& scope) {
        if (scope.range) return;
        const auto of_scope = [&](TlbTag tag) {
            return scope.covers(tag.vm()) && (!scope.space || tag.space() == *scope.space);
        };
        tags_.erase(std::remove_if(tags_.begin(), tags_.end(), of_scope), tags_.end());
    }

private:
    unsigned limit_;
    std::vector<TlbTag> tags_;  ///< the last used first
};

}  // namespace mmusim::models
