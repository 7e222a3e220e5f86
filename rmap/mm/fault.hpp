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
    /// VM_FAULT_RETRY: somebody else has the page locked. mmap_sem was dropped, and the page is
    /// unlocked by now.
    kRetry,
};

/// FAULT_FLAG_* (include/linux/mm.h), with v5.0's values. FAULT_FLAG_WRITE follows from the access.
enum class FaultFlags : unsigned {
    kNone = 0,
    kWrite = 0x01,
    kAllowRetry = 0x04,  ///< the handler may drop mmap_sem while it waits for a page
    kKillable = 0x10,
    kTried = 0x20,  ///< it has done so once
    kUser = 0x40,
};

constexpr FaultFlags operator|(FaultFlags a, FaultFlags b) {
    return static_cast<FaultFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(FaultFlags flags, FaultFlags flag) {
    return static_cast<unsigned>(flags) & static_cast<unsigned>(flag);
}

/// The page-fault handler (arch/x86/mm/fault.c, mm/memory.c): called by a core whose access found
/// no translation or none that allows it. Takes mmap_sem for reading. One page-fault operation.
/// Time passes: Part::kFault, and the parts of what it calls.
/// Does not model: growing stacks (expand_stack()), fault-around, transparent huge pages.
FaultResult handle_page_fault(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address,
                              Access access);

/// handle_mm_fault() with the lookup and the check of the VMA that all its callers make first.
/// mmap_sem held for reading, and on return unless the result is kRetry. Time passes: Part::kFault,
/// and the parts of what it calls.
FaultResult handle_mm_fault(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address, Access access,
                            FaultFlags flags = FaultFlags::kNone);

}  // namespace mmusim::rmap
