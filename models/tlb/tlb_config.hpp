// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/time.hpp"

namespace mmusim::models {

/// A set-associative array; ways == entries makes it fully associative. entries is a multiple of
/// ways and entries / ways a power of two.
struct TlbGeometry {
    unsigned entries = 0;
    unsigned ways = 0;
};

/// One TLB level: an array for 4 KiB pages and one for 2 MiB pages, probed together.
struct TlbConfig {
    TlbGeometry small;        ///< 4 KiB pages
    TlbGeometry large;        ///< 2 MiB pages
    rmap::Duration lookup{};  ///< added by this level, hit or miss
    rmap::Duration fill{};    ///< writing an entry after a miss
};

}  // namespace mmusim::models
