// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/time.hpp"

namespace mmusim::models {

struct WalkerConfig {
    rmap::Duration start{};  ///< from the miss to the first read
    rmap::Duration level{};  ///< per level, besides the memory read
};

}  // namespace mmusim::models
