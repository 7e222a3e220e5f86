// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/address.hpp"

namespace mmusim::rmap {

/// Hands out simulated memory for the kernel's own words (locks, per-CPU variables, contexts).
/// A set-up step: no time passes, and the order of the calls fixes the addresses.
class LineAllocator {
public:
    virtual ~LineAllocator() = default;

    /// A cache line of kLineSize bytes that nobody else uses, all zero.
    virtual PhysAddr allocate_line() = 0;
};

}  // namespace mmusim::rmap
