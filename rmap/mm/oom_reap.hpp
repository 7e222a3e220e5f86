// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

struct OomReapResult {
    /// False: mmap_sem was taken, or a client refused a VMA. v5.0 tries again 100 ms later, up to
    /// ten times; that is the caller's business here.
    bool reaped = false;
    std::uint64_t pages = 0;  ///< entries that were removed, swapped ones included
};

/// oom_reap_task_mm() and __oom_reap_task_mm() (mm/oom_kill.c): takes the private memory of a
/// process away while it still exists. Each VMA is a gather and a section of its own that may not
/// block; a VMA that a client refuses stays, and its section is not ended: clients that did not
/// refuse keep it open for ever (hazard HZ5). mmap_sem is only tried for reading. One oom_reap
/// operation, on a kernel thread's CPU. Time passes.
/// Does not model: the kill and MMF_UNSTABLE. Threads of the victim that still run find empty
/// memory, where v5.0 gives them SIGBUS.
OomReapResult oom_reap_task_mm(Cpu& cpu, KernelState& kernel, Mm& mm);

}  // namespace mmusim::rmap
