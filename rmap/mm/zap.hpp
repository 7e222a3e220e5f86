// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/mmu_gather.hpp"

namespace mmusim::rmap {

/// struct zap_details: entries that stay, when part of a file goes and not a mapping. Those that
/// are not present always do.
struct ZapDetails {
    const AddressSpace* check_mapping = nullptr;  ///< only pages of this file go; nullptr: all
};

/// unmap_page_range(): clears the entries of `range` in a VMA, all of them or as `details` say, and
/// queues their pages in the gather. mmap_sem held, or i_mmap_rwsem of the VMA's file for writing.
/// Returns how many entries were not empty.
std::uint64_t unmap_page_range(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Vma& vma,
                               VirtRange range, const ZapDetails* details = nullptr);

/// free_pgd_range(): frees the tables of `range` that lie wholly between `floor` and `ceiling`, the
/// ends of the neighbouring VMAs (0 = none). Nobody can reach them any more.
void free_pgd_range(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm, VirtRange range,
                    VirtAddr floor, VirtAddr ceiling);

}  // namespace mmusim::rmap
