// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/vma_adjust.hpp"
#include "rmap/types/errno.hpp"

namespace mmusim::rmap {

/// What a new mapping is (arguments of mmap(2)).
struct MmapRequest {
    VirtRange range;
    /// Readable and writable, and mprotect() may allow anything. mmap_region() adds VM_ACCOUNT.
    std::uint64_t vm_flags = VmFlags::kRead | VmFlags::kWrite | VmFlags::kMayRead |
                             VmFlags::kMayWrite | VmFlags::kMayExec;
    AddressSpace* file = nullptr;  ///< nullptr: anonymous
    std::uint64_t pgoff = 0;       ///< first page of the file
};

/// The system call mmap(2) with MAP_FIXED: what is mapped there already is unmapped first. Takes
/// mmap_sem for writing, and then, to fault in the pages of a VM_LOCKED mapping, for reading. One
/// mmap operation. Time passes. A last page that is not whole is mapped as one; kInvalid: the range
/// is empty or does not begin with a page.
Errno mmap(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request);

/// mmap_region(): returns the VMA that has the range, a neighbour that it continues or a new one;
/// the next change of the mm may free it. The range may end behind the file: who touches it there
/// gets a SIGBUS. mmap_sem held for writing. Does not model: limits and the commit charge.
Vma& mmap_region(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request);

/// copy_vma(): a VMA for what `vma` maps at another place, `to`, for mremap. It may be a neighbour
/// of that place, and it may even be `vma`, which then names the VMA that has the old range.
/// `locks`: whether the entries have to be moved under the locks of the reverse map. mmap_sem held
/// for writing.
enum class NeedRmapLocks { kNo, kYes };
void copy_vma(Cpu& cpu, KernelState& kernel, Vma*& vma, const VmaBounds& to, NeedRmapLocks& locks);

}  // namespace mmusim::rmap
