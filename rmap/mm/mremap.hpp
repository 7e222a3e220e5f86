// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/types/errno.hpp"

namespace mmusim::rmap {

/// What mremap(2) is asked for.
struct MremapRequest {
    VirtRange old_range;
    std::uint64_t new_pages = 0;
    /// MREMAP_FIXED | MREMAP_MAYMOVE: where it goes; what is mapped there is unmapped first.
    /// Without: it stays where it is.
    std::optional<VirtAddr> new_address;
};

/// The system call mremap(2): moves, grows or shrinks a part of one VMA. Takes mmap_sem for
/// writing, and then, to fault in what a locked mapping has gained, for reading. One mremap
/// operation. Time passes. kFault: the range is not within one VMA; kInvalid: the places overlap,
/// one is empty or does not begin with a page; kNoMemory: there is no room to grow where it is.
/// Does not model: MREMAP_MAYMOVE alone, where the kernel chooses the place; an old length of 0,
/// which duplicates a shared mapping.
Errno mremap(Cpu& cpu, KernelState& kernel, Mm& mm, const MremapRequest& request);

}  // namespace mmusim::rmap
