// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// pageout_t
enum class Pageout {
    kKeep,     ///< somebody else uses the page: still locked, not written
    kSuccess,  ///< written, and unlocked
    kClean,    ///< there is nothing to write: still locked
};

/// pageout(): writes a dirty page of the swap cache. Page locked, isolated, not mapped, and no CPU
/// can write through a stale translation (try_to_unmap_flush_dirty()).
Pageout pageout(Cpu& cpu, KernelState& kernel, Page& page);

/// __remove_mapping(): takes the page out of the swap cache or the page cache, if nobody else has a
/// reference and it is clean. Page locked. On success it has no reference left.
bool remove_mapping(Cpu& cpu, KernelState& kernel, Page& page);

}  // namespace mmusim::rmap
