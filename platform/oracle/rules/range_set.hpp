// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// Addresses, as the fewest ranges that make them up; at most kMonitorCapacity of them.
class RangeSet {
public:
    /// An empty range adds nothing, nor does one for which there is no room.
    void add(rmap::VirtRange range);

    bool empty() const { return ranges_.empty(); }
    bool covers(rmap::VirtRange range) const;

    /// "[0x1000, 0x2000), [0x4000, 0x5000)".
    std::string text() const;

private:
    std::vector<rmap::VirtRange> ranges_;  ///< ascending, with gaps between them
};

}  // namespace mmusim::platform
