// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/types/access.hpp"

namespace mmusim::rmap {

enum class FaultResult {
    kHandled,    ///< the access is tried again; it may fault again
    kBadArea,    ///< SIGSEGV: nothing is mapped there
    kBadAccess,  ///< SIGSEGV: the mapping forbids it
    kSigbus,     ///< SIGBUS: behind the end of the file
};

/// The page-fault handler (arch/x86/mm/fault.c, mm/memory.c): called by a core whose access found
/// no translation or none that allows it. Takes mmap_sem for reading. One page-fault operation.
/// Time passes: Part::kFault, and the parts of what it calls.
/// Does not model: fault-around, swap readahead, transparent huge pages.
FaultResult handle_page_fault(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address,
                              Access access);

/// handle_mm_fault() with the lookup and the check of the VMA that all its callers make first.
/// mmap_sem held for reading. Time passes: Part::kFault, and the parts of what it calls.
FaultResult handle_mm_fault(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Access access);

}  // namespace mmusim::rmap
