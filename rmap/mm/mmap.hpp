// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"

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

/// mmap_region(): takes mmap_sem for writing. Neighbours are not merged. Set-up only, because the
/// VMA's words are set-up memory.
Vma& mmap_region(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request);

/// dup_mmap(): the child gets a copy of every VMA and of the entries of those that cannot simply
/// fault again; writable private pages become shared and write-protected in both. Takes the
/// parent's mmap_sem for writing. Set-up only. Time passes: Part::kFault.
void dup_mmap(Cpu& cpu, KernelState& kernel, Mm& mm, Mm& oldmm);

/// __split_vma(): the part from `address` on becomes a VMA of its own, which is returned. mmap_sem
/// held for writing.
Vma& split_vma(Cpu& cpu, KernelState& kernel, Vma& vma, VirtAddr address);

}  // namespace mmusim::rmap
