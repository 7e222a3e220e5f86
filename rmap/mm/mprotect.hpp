// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/types/errno.hpp"

namespace mmusim::rmap {

/// What a system call that changes a range did.
struct RangeResult {
    Errno error = Errno::kNone;
    std::uint64_t pages = 0;  ///< entries that it changed, also if it failed later
};

/// The system call mprotect(2): `prot` are VM_READ, VM_WRITE and VM_EXEC, or 0 for PROT_NONE. Takes
/// mmap_sem for writing, splits and merges VMAs, and changes the entries that are there, each
/// VMA with one flush behind its notifier sections. One mprotect operation. Time passes.
/// kNoMemory: a part of the range is not mapped; kAccess: a VMA may not have that protection. What
/// comes before is changed all the same.
/// Does not model: protection keys, NUMA hinting, PROT_GROWSDOWN.
RangeResult mprotect(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, std::uint64_t prot);

/// change_protection(): gives the entries of `range` the VMA's protection. mmap_sem held for
/// writing. Returns how many entries it changed.
std::uint64_t change_protection(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range);

}  // namespace mmusim::rmap
