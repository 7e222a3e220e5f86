// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::models {

/// Which accesses of a core are compared with an uncached walk.
struct WalkCheck {
    std::uint64_t every = 0;  ///< n: each n-th; 0: none
    /// Counts the stores to simulated memory: what a walk has found holds while it stays the same.
    const std::uint64_t* stores = nullptr;
};

/// Chooses the accesses, and leaves out those of which the answer is known: the same translation
/// was confirmed for the same page and access, and nothing has been stored anywhere since.
class WalkSampler {
public:
    explicit WalkSampler(const WalkCheck& check)
        : every_(check.every), left_(check.every), stores_(check.stores) {}

    /// Another access: whether it is one of those to compare.
    bool chosen() {
        if (left_ == 0 || --left_ > 0) return false;
        left_ = every_;
        return true;
    }

    bool known(rmap::PageNumber page, rmap::Pcid space, rmap::Access access,
               const Translation& used) const {
        const Confirmed& last = confirmed_[slot(page, access)];
        return last.stores == *stores_ + 1 && last.page == page && last.space == space &&
               last.frame == used.frame && last.order == used.order;
    }
    /// A walk has confirmed it.
    void confirm(rmap::PageNumber page, rmap::Pcid space, rmap::Access access,
                 const Translation& used) {
        confirmed_[slot(page, access)] = {page, used.frame, *stores_ + 1, space, used.order};
    }

private:
    static constexpr std::size_t kPages = 256;

    struct Confirmed {
        rmap::PageNumber page{};
        rmap::FrameNumber frame{};
        std::uint64_t stores = 0;  ///< and one more; 0: nothing is known
        rmap::Pcid space = 0;
        std::uint8_t order = 0;
    };
    static std::size_t slot(rmap::PageNumber page, rmap::Access access) {
        return (page.value % kPages) * 3 + static_cast<std::size_t>(access);
    }

    const std::uint64_t every_;
    std::uint64_t left_;
    const std::uint64_t* const stores_;
    std::array<Confirmed, kPages * 3> confirmed_{};
};

}  // namespace mmusim::models
