// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/vm_fault.hpp"

namespace mmusim::rmap {

/// lookup_swap_cache() of a fault: the page of a slot with a reference, nullptr if it is not
/// cached. The VMA learns whether reading ahead has paid off.
Page* lookup_swap_cache(VmFault& vmf, SwapEntry entry);

/// swapin_readahead(): reads the page of a slot into the swap cache, and with it those that are
/// mapped around the address (swap_vma_readahead()). With a reference; nullptr: the slot is not
/// used any more. mmap_sem held; no lock of a page table. Does not model: swap_cluster_readahead(),
/// by slot numbers, which disks and shmem use.
Page* swapin_readahead(VmFault& vmf, SwapEntry entry);

}  // namespace mmusim::rmap
