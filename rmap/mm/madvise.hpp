// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/mprotect.hpp"

namespace mmusim::rmap {

/// MADV_*, with the kernel's values.
enum class Madvise : unsigned {
    kDontneed = 4,  ///< the pages go now
    kFree = 8,      ///< private anonymous pages go when memory is short, if not written until then
    kRemove = 9,    ///< a hole is punched in the file
};

/// The system call madvise(2). Takes mmap_sem for reading, and drops it while a hole is punched;
/// otherwise each VMA of the range is a gather and a notifier section of its own. One madvise
/// operation. Time passes. `pages` are the entries that were not empty, or the pages of the holes.
/// kNoMemory: a part of the range is not mapped, which does not keep it from the rest. kInvalid: it
/// came to a VMA that does not allow it (locked; a file with kFree; none with kRemove); kAccess: to
/// one that is not shared and writable (kRemove).
RangeResult madvise(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, Madvise behavior);

}  // namespace mmusim::rmap
