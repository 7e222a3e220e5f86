// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/page_table.hpp"

namespace mmusim::rmap {

/// ptep_clear_flush(): reads and clears an entry in one step; if it was present, no CPU has it in
/// its TLB on return. Page-table lock held. Returns the old entry.
Word ptep_clear_flush(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                      PhysAddr ptep);

/// ptep_get_and_clear() of an entry whose flush is put off: stale TLB entries stay until the batch
/// is flushed. A CPU that has a clean entry cached looks at the page table before it writes for the
/// first time; so only what comes back as dirty can still be written. Page-table lock held. Returns
/// the old entry.
Word ptep_clear_defer(Cpu& cpu, const Mm& mm, VirtAddr address, PhysAddr ptep);

/// ptep_clear_flush_notify(): and no secondary MMU has it either.
Word ptep_clear_flush_notify(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                             PhysAddr ptep);

/// ptep_clear_flush_young_notify(): tests and clears the accessed bit, here and in the secondary
/// MMUs. x86 leaves the TLB as it is: the worst that happens is an access that goes unnoticed. Time
/// goes to `part`. Page-table lock held.
bool ptep_clear_flush_young_notify(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                                   PhysAddr ptep, Part part);

/// ptep_clear_young_notify(): the same for those who can wait for the answer: secondary MMUs do not
/// flush either.
bool ptep_clear_young_notify(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                             PhysAddr ptep, Part part);

}  // namespace mmusim::rmap
