// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// One TLB level: arrays that are probed together. A page of a size that no array is for is kept
/// in pieces of the largest size below, if there is one.
struct TlbConfig {
    std::vector<PageArrayConfig> arrays;
    rmap::Duration lookup{};  ///< added by this level, hit or miss
    rmap::Duration fill{};    ///< writing an entry after a miss
};

}  // namespace mmusim::models
