// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mmusim::models {

/// Which accesses of a core are compared with an uncached walk.
struct WalkCheck {
    std::uint64_t every = 0;  ///< n: each n-th; 0: none
    /// Counts the stores to simulated memory: what a walk has found holds while it stays the same.
    const std::uint64_t* stores = nullptr;
};

/// Chooses the accesses.
class WalkSampler {
public:
    explicit WalkSampler(const WalkCheck& check)
        : every_(check.every), left_(check.every ? check.every : kNever) {}

    /// Whether the next access is one of those to compare.
    bool next_is_chosen() const { return left_ == 1; }
    /// Another access: whether it is one of those to compare.
    bool chosen() {
        if (--left_ > 0) return false;
        left_ = every_;
        return true;
    }

private:
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};

    const std::uint64_t every_;
    std::uint64_t left_;
};

}  // namespace mmusim::models
