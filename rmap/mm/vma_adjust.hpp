// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

// How VMAs change their ranges (mm/mmap.c). mmap_sem is held for writing in all of these, and none
// is a call of its own. Time passes: Part::kPageState and kLock.

/// vm_area_alloc(): a VMA without a range, with words from this CPU's slab.
std::unique_ptr<Vma> vm_area_alloc(Cpu& cpu, KernelState& kernel);
/// vm_area_dup(): a copy that is in no tree yet and has no anon_vma_chain.
std::unique_ptr<Vma> vm_area_dup(Cpu& cpu, KernelState& kernel, const Vma& original);
/// vm_area_free(): the VMA is in no tree any more. Its words go back to this CPU's slab.
void vm_area_free(Cpu& cpu, KernelState& kernel, std::unique_ptr<Vma> vma);

/// __vma_link_rb(): enters the VMA into mm->mmap.
Vma& link_vma(Mm& mm, std::unique_ptr<Vma> vma);
/// Takes the VMA out of mm->mmap (__vma_unlink_common()).
std::unique_ptr<Vma> unlink_vma(Mm& mm, const Vma& vma);

/// What vma_adjust() makes of a VMA.
struct VmaBounds {
    VirtRange range{};
    std::uint64_t pgoff = 0;
};

/// __vma_adjust(): moves the ends of a VMA within one hold of the locks of its trees, so that a
/// walk of the reverse map sees every page covered before and after. What the neighbour behind it
/// loses or gains by that is taken from it or given to it, as whole VMAs if need be; `expand` names
/// the one that survives if that is the neighbour. `insert`, the other part of a VMA that is being
/// split, is linked instead.
void vma_adjust(Cpu& cpu, KernelState& kernel, Vma& vma, const VmaBounds& to,
                std::unique_ptr<Vma> insert = nullptr, const Vma* expand = nullptr);

/// __split_vma() at `address`: the part above it (kAbove) or below it becomes a new VMA, which is
/// returned.
enum class NewPart { kAbove, kBelow };
Vma& split_vma(Cpu& cpu, KernelState& kernel, Vma& vma, VirtAddr address, NewPart new_part);

}  // namespace mmusim::rmap
