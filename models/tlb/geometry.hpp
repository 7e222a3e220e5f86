// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "models/tlb/replacement.hpp"

namespace mmusim::models {

/// Which set a number (of a page, a line ...) belongs to.
enum class IndexFunction : unsigned char {
    kPlain,    ///< the number modulo the number of sets: its low bits if that is a power of two
    kXorFold,  ///< of 2^n sets: the low n bits, exclusive-or the n bits above them
};

/// A set-associative array. ways == entries: fully associative; ways == 1: direct mapped. entries
/// is a multiple of ways; no entries: there is no array. A power of two is needed of
/// entries / ways by kXorFold only.
struct ArrayGeometry {
    std::size_t entries = 0;
    unsigned ways = 0;
    IndexFunction index = IndexFunction::kPlain;
    ReplacementPolicy replacement = ReplacementPolicy::kLru;

    std::size_t sets() const { return ways ? entries / ways : 0; }
};

/// IndexFunction for one number of sets. Numbers have at most 63 bits.
class SetIndex {
public:
    SetIndex(IndexFunction function, std::size_t sets);

    std::size_t operator()(std::uint64_t number) const {
        number ^= number >> fold_;
        return static_cast<std::size_t>(divisor_ ? number % divisor_ : number & mask_);
    }

private:
    std::uint64_t divisor_ = 0;  ///< the number of sets; 0: it is a power of two
    std::uint64_t mask_ = 0;
    unsigned fold_ = 63;  ///< bits of kXorFold; plain: more than numbers have
};

}  // namespace mmusim::models
