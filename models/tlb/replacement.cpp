// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/replacement.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::models {

namespace {

constexpr unsigned kMaxWays = 64;    // one bit each in a word
constexpr unsigned kGroupWays = 4;   // of kMruPlusOnePlru4
constexpr unsigned kGroupNodes = 3;  // a tree over them

/// A tree over `ways` leaves has ways - 1 nodes, one bit each, numbered in preorder; a set bit
/// points to the upper half. Of an odd number the lower half is the larger.
unsigned lower_half(unsigned ways) { return (ways + 1) / 2; }

std::uint64_t use_tree(std::uint64_t bits, unsigned ways, unsigned way) {
    for (unsigned node = 0; ways > 1;) {
        const unsigned lower = lower_half(ways);
        const std::uint64_t bit = std::uint64_t{1} << node;
        if (way < lower) {
            bits |= bit;
            node += 1;
            ways = lower;
        } else {
            bits &= ~bit;
            node += lower;
            way -= lower;
            ways -= lower;
        }
    }
    return bits;
}

unsigned tree_victim(std::uint64_t bits, unsigned ways) {
    unsigned way = 0;
    for (unsigned node = 0; ways > 1;) {
        const unsigned lower = lower_half(ways);
        if (bits >> node & 1) {
            node += lower;
            way += lower;
            ways -= lower;
        } else {
            node += 1;
            ways = lower;
        }
    }
    return way;
}

/// The state of kMruPlusOnePlru4: the group of the last use, and the trees of all groups.
enum : std::size_t { kLastGroup, kTrees };

unsigned shift_of(unsigned group) { return group * kGroupNodes; }

std::uint64_t tree_of(const Replacement::State& state, unsigned group) {
    return state[kTrees] >> shift_of(group) & ((1u << kGroupNodes) - 1);
}

}  // namespace

Replacement::Replacement(ReplacementPolicy policy, unsigned ways) : policy_(policy), ways_(ways) {
    const bool bits = policy != ReplacementPolicy::kLru && policy != ReplacementPolicy::kRandom;
    MMUSIM_CHECK(!bits || ways <= kMaxWays, "the uses of a set fit into a word");
    MMUSIM_CHECK(policy != ReplacementPolicy::kMruPlusOnePlru4 || ways % kGroupWays == 0,
                 "ways are grouped by four");
    const unsigned leaves = policy == ReplacementPolicy::kTreePlru          ? ways
                            : policy == ReplacementPolicy::kMruPlusOnePlru4 ? kGroupWays
                                                                            : 0;
    for (unsigned way = 0; way < leaves; ++way)
        tree_.push_back({use_tree(~std::uint64_t{0}, leaves, way), use_tree(0, leaves, way)});
}

Replacement::State Replacement::no_uses() const {
    switch (policy_) {
        case ReplacementPolicy::kLru: {
            State ring(ways_ + std::size_t{1});
            for (std::uint64_t way = 0; way < ways_; ++way)
                ring[way] = link((way + ways_ - 1) % ways_, (way + 1) % ways_);
            return ring;
        }
        case ReplacementPolicy::kTreePlru:
        case ReplacementPolicy::kNru:
            return State(1);
        case ReplacementPolicy::kRandom:
            return {};
        case ReplacementPolicy::kMruPlusOnePlru4:
            return State(2);
    }
    return {};
}

void Replacement::use_other(State& state, unsigned way) const {
    switch (policy_) {
        case ReplacementPolicy::kNru: {
            const std::uint64_t all = ~std::uint64_t{0} >> (kMaxWays - ways_);
            state[0] |= std::uint64_t{1} << way;
            if (state[0] == all) state[0] = std::uint64_t{1} << way;
            break;
        }
        case ReplacementPolicy::kMruPlusOnePlru4: {
            const unsigned group = way / kGroupWays;
            const std::uint64_t old_tree = tree_of(state, group);
            const std::uint64_t new_tree = tree_[way % kGroupWays].after(old_tree);
            state[kLastGroup] = group;
            state[kTrees] ^= (old_tree ^ new_tree) << shift_of(group);
            break;
        }
        case ReplacementPolicy::kLru:
        case ReplacementPolicy::kTreePlru:
        case ReplacementPolicy::kRandom:
            break;
    }
}

unsigned Replacement::victim(const State& state) {
    switch (policy_) {
        case ReplacementPolicy::kLru:
            return static_cast<unsigned>(before(state[state[ways_]]));
        case ReplacementPolicy::kTreePlru:
            return tree_victim(state[0], ways_);
        case ReplacementPolicy::kNru: {
            unsigned way = 0;
            while (way + 1 < ways_ && state[0] >> way & 1) ++way;
            return way;
        }
        case ReplacementPolicy::kRandom:
            return static_cast<unsigned>(random_() % ways_);
        case ReplacementPolicy::kMruPlusOnePlru4: {
            const unsigned groups = ways_ / kGroupWays;
            const unsigned group = (static_cast<unsigned>(state[kLastGroup]) + 1) % groups;
            return group * kGroupWays + tree_victim(tree_of(state, group), kGroupWays);
        }
    }
    return 0;
}

}  // namespace mmusim::models
