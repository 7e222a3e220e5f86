// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

#include "rmap/kernel.hpp"

namespace mmusim::platform {

/// Chooses frames, which are an input: what looks at frames rather than pages (the bitmap of idle
/// pages) finds those of a capture side by side. Frames that share a chunk of the bitmap there
/// share one here, at the same places.
class FrameLayout {
public:
    explicit FrameLayout(rmap::Kernel& kernel) : kernel_(kernel) {}

    /// The next page that is allocated on the CPU's node gets the place of the capture's `theirs`,
    /// unless that was given before. No lock held.
    void place_next(rmap::Cpu& cpu, std::uint64_t theirs);

private:
    using Chunk = std::map<std::uint64_t, rmap::Page*>;  ///< allocated and unused, by place

    Chunk take_chunk(rmap::Cpu& cpu);

    rmap::Kernel& kernel_;
    std::map<std::uint64_t, Chunk> chunks_;  ///< by number of the capture's chunk
};

}  // namespace mmusim::platform
