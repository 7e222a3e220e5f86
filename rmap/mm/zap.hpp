// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/mmu_gather.hpp"

namespace mmusim::rmap {

/// unmap_page_range(): clears all entries of `range` in a VMA and queues their pages in the gather.
/// mmap_sem held. Returns how many entries were not empty.
std::uint64_t unmap_page_range(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Vma& vma,
                               VirtRange range);

/// free_pgd_range(): frees the tables of `range` that lie wholly between `floor` and `ceiling`, the
/// ends of the neighbouring VMAs (0 = none). Nobody can reach them any more.
void free_pgd_range(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm, VirtRange range,
                    VirtAddr floor, VirtAddr ceiling);

}  // namespace mmusim::rmap
