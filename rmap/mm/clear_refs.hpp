// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// What is written to /proc/PID/clear_refs (fs/proc/task_mmu.c).
enum class ClearRefs : unsigned {
    kAll = 1,           ///< CLEAR_REFS_ALL: accessed and referenced bits of all pages
    kAnon = 2,          ///< CLEAR_REFS_ANON: of VMAs without a file
    kMapped = 3,        ///< CLEAR_REFS_MAPPED: of VMAs with one
    kSoftDirty = 4,     ///< CLEAR_REFS_SOFT_DIRTY
    kMmHiwaterRss = 5,  ///< CLEAR_REFS_MM_HIWATER_RSS: VmHWM becomes VmRSS
};

/// clear_refs_write(). Types 1 to 4 hold mmap_sem for reading, walk the whole mm within a gather of
/// the whole mm, and end with a full flush whatever they found; only type 4 opens a notifier
/// section. The clients are told of the range ~0..~0 in the end (hazard HZ16). Type 5 holds
/// mmap_sem for writing. One clear_refs operation. Time passes. Soft-dirty bits are not configured,
/// as in the kernel of the captures: type 4 changes no entry.
void clear_refs_write(Cpu& cpu, KernelState& kernel, Mm& mm, ClearRefs type);

}  // namespace mmusim::rmap
