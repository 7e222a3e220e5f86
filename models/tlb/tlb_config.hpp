// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "models/tlb/geometry.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// One array of a TLB level, for pages of some sizes. Sizes are orders: 4 KiB << order.
struct PageArrayConfig {
    std::string name;  ///< of its section in the platform file
    std::vector<unsigned> orders;
    ArrayGeometry geometry;
};

/// What a core's MMU is asked for.
enum class Stream : unsigned char {
    kData,   ///< loads and stores
    kFetch,  ///< instructions
};

/// What a TLB of a lower level has to do with the entries of those above.
enum class Inclusion : unsigned char {
    kNeither,    ///< a walk fills in all levels, and each replaces as it likes
    kInclusive,  ///< likewise, and what goes here goes above as well
    kExclusive,  ///< a walk fills in above only: victims of above come here, hits move up
};

/// One TLB: arrays that are probed together. A page of a size that no array is for is kept in
/// pieces of the largest size below, if there is one.
struct TlbConfig {
    std::string name;    ///< of its section in the platform file
    unsigned level = 1;  ///< 1: next to the core; of a core's MMU only, like `streams`
    std::vector<Stream> streams = {Stream::kData, Stream::kFetch};  ///< that it serves
    Inclusion inclusion = Inclusion::kNeither;                      ///< of a level below the first
    /// Address spaces that have entries at the same time, global ones apart: one more takes the
    /// place of all entries of the least recently used. 0: no limit.
    unsigned live_spaces = 0;
    std::vector<PageArrayConfig> arrays;
    rmap::Duration lookup{};  ///< added by this level, hit or miss
    rmap::Duration fill{};    ///< writing an entry after a miss

    bool serves(Stream stream) const {
        return std::find(streams.begin(), streams.end(), stream) != streams.end();
    }
};

}  // namespace mmusim::models
