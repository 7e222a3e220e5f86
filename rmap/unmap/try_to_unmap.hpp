// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/unmap/ttu_flags.hpp"

// Lock order, outermost first. Whoever holds one may take those below it, never those above.
//
//   Mm::mmap_sem                    the VMAs of an mm
//     AddressSpace::i_mmap_sem      ext4: whether faults may bring pages of a file in
//     Page::lock                    identity and content of a page
//       AddressSpace::i_mmap_rwsem  the VMAs that map a file
//         rwsem of an anon_vma root the VMAs that may map an anonymous page
//           Mm::page_table_lock     upper levels of a page table, the first AVC of a VMA
//             page-table lock       the entries of one table page; of two tables, the child's first
//               one of              lock of SwapSpace: counts of the swap slots
//                                   mmlist_lock: which mms may have swap entries
//                                   lru_lock: LRU lists of a node; interrupts off
//                                   xa_lock: slots of the page or swap cache; interrupts off
//                                   zone lock: free frames of a node; interrupts off
//
// Notifier sections open and close under mmap_sem or an rmap lock (rule N5), never under a
// page-table lock.

namespace mmusim::rmap {

/// try_to_unmap(): removes all mappings of a page, leaving swap entries, migration entries or
/// nothing, depending on the page and the flags. The caller holds the page lock and a reference.
/// With TtuFlags::kBatchFlush stale TLB entries may survive until the caller's
/// try_to_unmap_flush(). True: the page is not mapped any more. Time passes.
bool try_to_unmap(Cpu& cpu, KernelState& kernel, Page& page, TtuFlags flags);

/// try_to_munlock(): a page that one mapping does not lock any more is locked again (PG_mlocked) if
/// another VMA that maps it is VM_LOCKED. Removes nothing. The page is locked and on no LRU list.
/// Time passes.
void try_to_munlock(Cpu& cpu, KernelState& kernel, Page& page);

}  // namespace mmusim::rmap
