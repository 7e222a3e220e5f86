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

/// Orders the ways of the sets of one array by their uses. Plain: no time.
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
            state[way] = ++clock_;
        else
            use_bits(state, way);
    }
    /// The way of a full set that makes room.
    unsigned victim(const State& state);

private:
    void use_bits(State& state, unsigned way) const;

    ReplacementPolicy policy_;
    unsigned ways_;
    std::uint64_t clock_ = 0;  ///< of kLru: counts uses
    std::minstd_rand random_;  ///< of kRandom
};

}  // namespace mmusim::models
