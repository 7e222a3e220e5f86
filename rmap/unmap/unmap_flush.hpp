// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/unmap/ttu_flags.hpp"

namespace mmusim::rmap {

// Batched TLB flushing of reclaim (mm/rmap.c). The batch is tlb_ubc of the task that runs on the
// CPU.

/// should_defer_flush(): whether the flush may wait for the end of the batch. Not if this is the
/// only CPU that ran the mm: one INVLPG is cheaper than taking notes. Page-table lock held.
bool should_defer_flush(Cpu& cpu, KernelState& kernel, const Mm& mm, TtuFlags flags);

/// set_tlb_ubc_flush_pending(): notes that an entry of the mm was cleared and not flushed.
/// Page-table lock held since before the entry was cleared.
enum class WasDirty { kNo, kYes };
void set_tlb_ubc_flush_pending(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                               WasDirty was_dirty);

/// try_to_unmap_flush(): flushes what the batch holds, if anything.
void try_to_unmap_flush(Cpu& cpu, KernelState& kernel);

/// try_to_unmap_flush_dirty(): the same, if the batch holds a dirty entry: through a stale one a
/// CPU could still write to a page that is being written out.
void try_to_unmap_flush_dirty(Cpu& cpu, KernelState& kernel);

/// flush_tlb_batched_pending(): for those who trust that a cleared entry cannot be used any more.
/// Page-table lock held.
void flush_tlb_batched_pending(Cpu& cpu, KernelState& kernel, const Mm& mm);

}  // namespace mmusim::rmap
