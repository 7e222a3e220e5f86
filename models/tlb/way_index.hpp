// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace mmusim::models {

/// Finds the ways of one large set by hash: a chain of ways for each of at least as many buckets.
class WayIndex {
public:
    static constexpr unsigned kNone = ~0u;

    explicit WayIndex(unsigned ways) : nodes_(ways) {
        while ((2u << bits_) < 2 * ways) ++bits_;
        first_.assign(std::size_t{2} << bits_, kNone);
    }

    /// The way of that number for which `is` is true.
    template <class Is>
    unsigned find(std::uint64_t number, Is&& is) const {
        unsigned way = first_[bucket(number)];
        while (way != kNone && !is(way)) way = nodes_[way].next;
        return way;
    }
    void add(std::uint64_t number, unsigned way) {
        unsigned& first = first_[bucket(number)];
        nodes_[way] = {first, bucket(number)};
        first = way;
    }
    void remove(unsigned way) {
        unsigned* link = &first_[nodes_[way].bucket];
        while (*link != way) link = &nodes_[*link].next;
        *link = nodes_[way].next;
    }

private:
    struct Node {
        unsigned next = kNone;
        unsigned bucket = 0;
    };

    unsigned bucket(std::uint64_t number) const {
        return static_cast<unsigned>(number * 0x9e3779b97f4a7c15ull >> (63 - bits_));
    }

    unsigned bits_ = 0;  ///< buckets: 2 << bits_
    std::vector<unsigned> first_;
    std::vector<Node> nodes_;  ///< by way
};

}  // namespace mmusim::models
