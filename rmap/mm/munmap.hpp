// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// The system call munmap(2): removes the whole pages of `range`, splitting VMAs at its ends. Holds
/// mmap_sem for writing until the VMAs are detached and then for reading, as
/// __do_munmap(downgrade=true) does. One munmap operation. Time passes. Returns the number of
/// present or swapped pages it removed.
std::uint64_t munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);

}  // namespace mmusim::rmap
