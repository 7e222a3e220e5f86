// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

// Idle-page tracking (mm/page_idle.c): /sys/kernel/mm/page_idle/bitmap in chunks of 64 frames, bit
// n for frame `first` + n. Only pages on an LRU list are tracked; frames that no node has are left
// out. One page_idle operation each. Time passes: Part::kAging and the walks' own.

inline constexpr std::uint64_t kBitmapChunkBits = 64;  ///< BITMAP_CHUNK_BITS

/// page_idle_bitmap_read(): a bit is set if its page was marked idle and has not been accessed
/// since. Asks the mappings of pages that are marked, and clears their accessed bits.
std::uint64_t page_idle_bitmap_read(Cpu& cpu, KernelState& kernel, FrameNumber first);

/// page_idle_bitmap_write(): marks the pages idle whose bits are set, and clears the accessed bits
/// of their mappings. Returns how many pages were marked.
std::uint64_t page_idle_bitmap_write(Cpu& cpu, KernelState& kernel, FrameNumber first,
                                     std::uint64_t bits);

}  // namespace mmusim::rmap
