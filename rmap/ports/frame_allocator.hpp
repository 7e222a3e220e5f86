// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/line_allocator.hpp"

namespace mmusim::rmap {

/// Hands out whole frames as well, for tables that hardware reads.
class FrameAllocator : public LineAllocator {
public:
    /// Set-up only: a frame that nobody else uses, all zero.
    virtual FrameNumber allocate_frame() = 0;
};

}  // namespace mmusim::rmap
