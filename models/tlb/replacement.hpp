// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace mmusim::models {

/// Which entry of a full set makes room.
enum class ReplacementPolicy : unsigned char {
    kLru,       ///< the one that was used least recently
    kTreePlru,  ///< a binary tree over the ways: every node on the way to a use then points away
    kNru,       ///< the first that was not used since all the others were
    kRandom,    ///< any; the sequence is the same in every run
    /// Skylake's second-level TLB, "(MRU+1)%3 PLRU4" of tlbdr (VUSec, 2022): groups of four ways;
    /// the group after that of the last use, in it a tree.
    kMruPlusOnePlru4,
};

/// Orders the ways of the sets of one array by their uses. A use of the way that was used last
/// changes nothing, whatever the policy. Plain: no time.
class Replacement {
public:
    /// `ways` at most 64 unless kLru or kRandom; a multiple of four for kMruPlusOnePlru4.
    Replacement(ReplacementPolicy policy, unsigned ways);

    /// What is remembered of one set.
    using State = std::vector<std::uint64_t>;
    State no_uses() const;

    /// The way was hit or filled.
    void use(State& state, unsigned way) {
        if (policy_ == ReplacementPolicy::kLru)
            use_lru(state.data(), way);
        else if (policy_ == ReplacementPolicy::kTreePlru)
            state[0] = tree_[way].after(state[0]);
        else
            use_other(state, way);
    }
    /// The way of a full set that makes room.
    unsigned victim(const State& state);

private:
    /// What a use does to a tree's bits.
    struct TreeUse {
        std::uint64_t keep = 0;
        std::uint64_t set = 0;
        std::uint64_t after(std::uint64_t bits) const { return (bits & keep) | set; }
    };

    // The state of kLru: a ring of the ways, from the last used one to the least recently used one
    // and round; a way's word has its neighbours, the last word the way that was used last.
    static std::uint64_t link(std::uint64_t before, std::uint64_t after) {
        return before << 32 | after;
    }
    static std::uint64_t before(std::uint64_t word) { return word >> 32; }
    static std::uint64_t after(std::uint64_t word) { return word & 0xffffffff; }

    void use_lru(std::uint64_t* state, unsigned way) const {
        std::uint64_t& last_used = state[ways_];
        if (last_used == way) return;
        const std::uint64_t oldest = before(state[last_used]);
        if (oldest != way) {
            const std::uint64_t left = before(state[way]);
            const std::uint64_t right = after(state[way]);
            state[left] = link(before(state[left]), right);
            state[right] = link(left, after(state[right]));
            // Its neighbours may be the two between which it goes.
            state[oldest] = link(before(state[oldest]), way);
            state[last_used] = link(way, after(state[last_used]));
            state[way] = link(oldest, last_used);
        }
        last_used = way;
    }
    void use_other(State& state, unsigned way) const;

    ReplacementPolicy policy_;
    unsigned ways_;
    std::vector<TreeUse> tree_;  ///< by way, of the set or of a group
    std::minstd_rand random_;    ///< of kRandom
};

}  // namespace mmusim::models
