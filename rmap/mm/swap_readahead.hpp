// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/vm_fault.hpp"

namespace mmusim::rmap {

// Which pages come along when one is read from swap (mm/swap_state.c). A page that was read ahead
// has PG_readahead until a fault wants it; how often that happens decides how many are read next
// time. Time passes in all: Part::kSwap, and Part::kFault for the device.

/// lookup_swap_cache(): the page of a slot with a reference, nullptr if it is not cached. Whoever
/// reads ahead learns whether the page was worth it: the VMA of the fault, or all who read by
/// slots.
Page* lookup_swap_cache(VmFault& vmf, SwapEntry entry);
/// The same for a page of shmem, without a VMA.
Page* lookup_swap_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry);

/// swapin_readahead(): the page of a slot, read into the swap cache together with others: those
/// that are mapped around the address (swap_vma_readahead()), or on a disk, where it matters what
/// lies side by side, swap_cluster_readahead(). With a reference; nullptr: the slot is not used any
/// more. mmap_sem held; no lock of a page table.
Page* swapin_readahead(VmFault& vmf, SwapEntry entry);

/// swap_cluster_readahead(): the same, with the slots around this one, whosever they are. The new
/// pages belong to group `memcg`. No locks.
Page* swap_cluster_readahead(Cpu& cpu, KernelState& kernel, SwapEntry entry, unsigned memcg);

}  // namespace mmusim::rmap
