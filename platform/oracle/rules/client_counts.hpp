// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::platform {

/// What kClientCount says.
struct ClientCount {
    std::uint64_t count = 0;  ///< of open sections
    std::uint64_t sequence = 0;
};

/// By client and mm.
using ClientCounts = BoundedMap<std::pair<std::uint64_t, rmap::MmId>, ClientCount>;

}  // namespace mmusim::platform
