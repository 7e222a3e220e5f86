// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/page.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/vma.hpp"

namespace mmusim::rmap {

/// What page_vma_mapped_walk() looks for.
enum class PvmwFlags : unsigned {
    kNone = 0,
    kSync = 1,       ///< PVMW_SYNC: take the page-table lock before looking
    kMigration = 2,  ///< PVMW_MIGRATION: a migration entry for the page, not a mapping of it
};

constexpr PvmwFlags operator|(PvmwFlags a, PvmwFlags b) {
    return static_cast<PvmwFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(PvmwFlags flags, PvmwFlags flag) {
    return static_cast<unsigned>(flags) & static_cast<unsigned>(flag);
}

/// struct page_vma_mapped_walk: whether a page is mapped at an address of a VMA. Small pages have
/// one place to look at, so the call after a hit always ends the walk.
struct PageVmaMappedWalk {
    Page& page;
    Vma& vma;
    VirtAddr address{};
    PvmwFlags flags = PvmwFlags::kNone;

    /// After a hit: where, and the table whose lock is held.
    PteSlot slot{};
};

/// True: `slot` holds what was looked for and its page-table lock is held, until the next call or
/// page_vma_mapped_walk_done(). False: nothing is held. Rmap lock held. Time passes.
bool page_vma_mapped_walk(Cpu& cpu, KernelState& kernel, PageVmaMappedWalk& pvmw);

/// Ends the walk after a hit.
void page_vma_mapped_walk_done(Cpu& cpu, PageVmaMappedWalk& pvmw);

}  // namespace mmusim::rmap
