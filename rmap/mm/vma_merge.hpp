// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// What a range is going to map.
struct MergeRequest {
    VirtRange range;
    std::uint64_t vm_flags = 0;
    AnonVma* anon_vma = nullptr;  ///< of the pages that are there already
    AddressSpace* file = nullptr;
    std::uint64_t pgoff = 0;
};

/// vma_merge(): lets the VMAs next to a range take it over, if what it is going to map continues
/// them. The range is empty or consists of parts of VMAs, which change hands. mmap_sem held for
/// writing. Returns the VMA that has the range then; nullptr: nothing changed.
Vma* vma_merge(Cpu& cpu, KernelState& kernel, Mm& mm, const MergeRequest& request);

/// What mprotect_fixup() and mlock_fixup() begin with (v6.7's vma_modify()): gives the part `range`
/// of a VMA to a neighbour that it continues with the new flags, or else splits it off. The flags
/// of a VMA that was split off are still the old ones. mmap_sem held for writing. Returns the VMA
/// that has the range then.
Vma& vma_modify(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range, std::uint64_t newflags);

}  // namespace mmusim::rmap
