// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "rmap/mm/mmu_gather.hpp"

namespace mmusim::rmap {

/// VMAs that left mm->mmap, in ascending order.
using DetachedVmas = std::vector<std::unique_ptr<Vma>>;

/// unmap_single_vma(): the part of the VMA within `range`, if any. Returns how many entries were
/// not empty.
std::uint64_t unmap_single_vma(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Vma& vma,
                               VirtRange range);

/// free_pgtables(): the VMAs leave the reverse map before their tables go. `floor` and `ceiling`
/// are the ends of the neighbours (0 = none).
void free_pgtables(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm, const DetachedVmas& vmas,
                   VirtAddr floor, VirtAddr ceiling);

/// zap_page_range(): the pages of `range`, which starts in `vma` and may go on in the VMAs behind
/// it. A gather and a notifier section of its own. mmap_sem held. Returns like unmap_single_vma().
std::uint64_t zap_page_range(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range);

}  // namespace mmusim::rmap
