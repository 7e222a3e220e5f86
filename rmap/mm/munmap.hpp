// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// What do_munmap() did.
struct Unmapped {
    std::uint64_t entries = 0;  ///< that were not empty
    bool downgraded = false;    ///< mmap_sem is held for reading now
};
enum class Downgrade { kNo, kYes };

/// __do_munmap(): removes the whole pages of `range`, splitting VMAs at its ends. mmap_sem held for
/// writing; with kYes it is downgraded once the VMAs are detached.
Unmapped do_munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, Downgrade downgrade);
/// Drops mmap_sem as do_munmap() left it.
void mmap_sem_unlock(Cpu& cpu, Mm& mm, const Unmapped& unmapped);

/// The system call munmap(2): removes the whole pages of `range`, splitting VMAs at its ends. Holds
/// mmap_sem for writing until the VMAs are detached and then for reading, as
/// __do_munmap(downgrade=true) does. One munmap operation. Time passes. Returns the number of
/// present or swapped pages it removed.
std::uint64_t munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);

}  // namespace mmusim::rmap
