// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// exit_mm() of the last task that uses `mm`, with mmput() (kernel/exit.c, kernel/fork.c) and
/// exit_mmap() (mm/mmap.c): the notifiers are released first, then all that is mapped goes, under
/// no lock, because nobody but walks of the reverse map can find the mm any more. If it is the task
/// of this CPU it becomes one without an mm, and the CPU stays lazily on the page tables. One exit
/// operation. Time passes. Returns how many entries were not empty.
/// Does not model: mm_users and mm_count. The caller sees to it that no other task runs the mm, and
/// the top-level table stays for the CPUs that have it loaded.
std::uint64_t exit_mm(Cpu& cpu, KernelState& kernel, Mm& mm);

}  // namespace mmusim::rmap
