// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/types/errno.hpp"

namespace mmusim::rmap {

/// How mlock2(2) locks: MLOCK_ONFAULT leaves pages that are not there to their first fault.
enum class MlockFlags { kNone, kOnFault };

/// mlock(2), mlock2(2) of whole pages: the VMAs of the range become VM_LOCKED, split where it
/// begins and ends, and their pages are faulted in and moved to the unevictable list. Takes
/// mmap_sem for writing, and then for reading. One mlock operation. Time passes. kNoMemory: a part
/// of the range is not mapped, or cannot be faulted in; what lies before that is locked.
/// Does not model: RLIMIT_MEMLOCK.
Errno mlock(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range,
            MlockFlags flags = MlockFlags::kNone);

/// munlock(2): the other way round. Takes mmap_sem for writing. One munlock operation.
Errno munlock(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);

/// munlock_vma_pages_range(): clears VM_LOCKED of the VMA and takes the pages of `range` off the
/// unevictable list, unless another VMA has them locked. mmap_sem held for writing.
void munlock_vma_pages_range(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range);
/// munlock_vma_pages_all(): for those who take the VMA away.
inline void munlock_vma_pages_all(Cpu& cpu, KernelState& kernel, Vma& vma) {
    munlock_vma_pages_range(cpu, kernel, vma, vma.range());
}

}  // namespace mmusim::rmap
