// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// dup_mm() of the system call fork(2), with the empty `mm` of the child: it gets a copy of every
/// VMA and of the entries of those that cannot simply fault again; writable private pages become
/// shared and write-protected in both, and the parent's TLB entries of them go with one flush of
/// the whole mm at the end. Takes both mmap_sems for writing. One fork operation. Time passes.
/// Does not model: VM_DONTCOPY and VM_WIPEONFORK.
void dup_mm(Cpu& cpu, KernelState& kernel, Mm& mm, Mm& oldmm);

}  // namespace mmusim::rmap
