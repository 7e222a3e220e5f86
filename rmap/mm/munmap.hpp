// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// The system call munmap(2): removes the whole pages of `range`, splitting VMAs at its ends. Holds
/// mmap_sem for writing throughout, whereas v5.0 downgrades it before it touches the pages. One
/// munmap operation. Time passes. Returns the number of present or swapped pages it removed.
std::uint64_t munmap(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);

}  // namespace mmusim::rmap
