// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/mm.hpp"
#include "rmap/types/errno.hpp"

namespace mmusim::rmap {

struct KernelState;

// fs/sync.c and mm/msync.c.
// Does not model: the journal and the metadata of the file system.

/// fsync(2): writes the dirty pages of a file and waits for them. One call operation. Time passes.
void fsync(Cpu& cpu, KernelState& kernel, AddressSpace& file);

/// msync(2) with MS_SYNC: the same for what a range maps of files, shared; mmap_sem, taken for
/// reading, is dropped meanwhile. kNoMemory: a part of the range is not mapped; the rest is
/// written. One call operation. Time passes.
Errno msync(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);

}  // namespace mmusim::rmap
