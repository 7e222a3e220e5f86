// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

/// What an interval-tree visitor wants next.
enum class Visit { kContinue, kStop };

/// The kernel's interval tree as the reverse map sees it (mm/interval_tree.c): closed intervals of
/// page offsets in ascending order of their start, equal starts in the order of insertion. Does not
/// own its members. The lock of the tree's owner guards it.
template <class T>
class IntervalTree {
public:
    bool empty() const { return nodes_.empty(); }
    std::size_t size() const { return nodes_.size(); }

    void insert(T& member, std::uint64_t first, std::uint64_t last) {
        note_length(first, last);
        nodes_.insert({first, Node{last, &member}});
    }

    /// vma_interval_tree_insert_after(): directly behind `predecessor`, whose start is the same.
    void insert_after(T& member, std::uint64_t first, std::uint64_t last, const T& predecessor) {
        note_length(first, last);
        nodes_.insert(std::next(find(predecessor, first)), {first, Node{last, &member}});
    }

    void remove(const T& member, std::uint64_t first) { nodes_.erase(find(member, first)); }

    /// Calls visit(T&) for each member that overlaps [first, last]. The tree must not change
    /// meanwhile.
    template <class F>
    void for_each_overlap(std::uint64_t first, std::uint64_t last, F&& visit) const {
        // Nothing that starts more than the longest interval before `first` can reach it.
        auto node = nodes_.lower_bound(first - std::min(first, longest_));
        for (; node != nodes_.end() && node->first <= last; ++node)
            if (node->second.last >= first && visit(*node->second.member) == Visit::kStop) return;
    }

private:
    struct Node {
        std::uint64_t last;
        T* member;
    };
    using Nodes = std::multimap<std::uint64_t, Node>;

    void note_length(std::uint64_t first, std::uint64_t last) {
        longest_ = std::max(longest_, last - first);
    }

    typename Nodes::iterator find(const T& member, std::uint64_t first) {
        const auto range = nodes_.equal_range(first);
        const auto found = std::find_if(range.first, range.second, [&](const auto& node) {
            return node.second.member == &member;
        });
        MMUSIM_CHECK(found != range.second, "the interval is in the tree");
        return found;
    }

    Nodes nodes_;
    std::uint64_t longest_ = 0;
};

}  // namespace mmusim::rmap
