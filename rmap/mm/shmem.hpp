// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

struct KernelState;
struct VmFault;

// Memory in tmpfs (mm/shmem.c): tmpfs files, memfd, and shared anonymous mappings. Its pages are on
// the anonymous LRU lists and go to swap, but their mappings are found as those of a file.

/// What a writepage of an address_space did.
enum class WritepageResult {
    kStarted,   ///< the page is unlocked; its write may be over
    kActivate,  ///< AOP_WRITEPAGE_ACTIVATE: it stays, dirty and locked
};

/// shmem_fault(), by way of shmem_getpage_gfp(): the page of the file, locked and with a reference;
/// read back from swap, or zeroed if it was never used. nullptr: behind the end of the file.
/// mmap_sem held for reading.
/// Does not model: the wait of faults inside a hole that is being punched.
Page* shmem_fault(VmFault& vmf);

/// shmem_writepage(): moves a page from its file to the swap cache and writes it there. The slot of
/// the page cache keeps the swap entry. Page locked, not mapped, PG_dirty cleared.
WritepageResult shmem_writepage(Cpu& cpu, KernelState& kernel, Page& page);

/// shmem_truncate_range(): frees the pages of a range, and the swap slots of those that are
/// swapped out. Nothing of the range is mapped, but faults may bring it back meanwhile: then that
/// is freed, too, once.
void shmem_truncate_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range);

}  // namespace mmusim::rmap
