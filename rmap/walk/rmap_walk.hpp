// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rmap/mm/anon_vma.hpp"
#include "rmap/mm/page.hpp"
#include "rmap/mm/vma.hpp"
#include "rmap/types/function_ref.hpp"

namespace mmusim::rmap {

/// How a walk finds and locks the anon_vma of a page; it may give up. nullptr: the page is known to
/// stay anonymous, so wait for the semaphore.
using AnonLock = AnonVma* (*)(Cpu&, KernelState&, const Page&);

/// struct rmap_walk_control: what is done to each mapping of a page, and when to stop. Borrows its
/// functions, which must outlive the walk. The kernel's own walks take theirs from walk_users.def.
struct RmapWalkControl {
    /// One mapping; false stops the walk. The rmap lock is held, no page-table lock.
    FunctionRef<bool(Vma& vma, VirtAddr address)> rmap_one;
    AnonLock anon_lock = nullptr;
    /// Asked after each mapping; true stops the walk.
    std::optional<FunctionRef<bool()>> done;
    /// True leaves the VMA out.
    std::optional<FunctionRef<bool(const Vma& vma)>> invalid_vma;
};

/// rmap_walk(): visits every VMA that may map the page, with the lock of the tree held for reading.
/// A page of a file must be locked. Time passes.
/// Nobody walks with the tree locked already (rmap_walk_locked()): only the splits of huge pages
/// do.
void rmap_walk(Cpu& cpu, KernelState& kernel, Page& page, const RmapWalkControl& control);

/// page_lock_anon_vma_read(): the anon_vma of a mapped page, its root locked for reading; nullptr
/// if the page is not mapped.
AnonVma* page_lock_anon_vma_read(Cpu& cpu, KernelState& kernel, const Page& page);

}  // namespace mmusim::rmap
