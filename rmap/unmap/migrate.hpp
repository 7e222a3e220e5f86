// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// MPOL_MF_MOVE or MPOL_MF_MOVE_ALL: whether pages that other processes map as well are moved.
enum class MoveShared { kNo, kYes };

struct MoveResult {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;   ///< could not be isolated or migrated
    std::uint64_t skipped = 0;  ///< not mapped, shared, on the node already, or not tried any more
};

/// The system call move_pages(2): migrates the pages at these addresses to a node. As in v5.0, the
/// pages collected so far are moved before it goes on behind an address that has none to move, and
/// it ends when any of them could not be. One call operation; one unmap operation per page, from
/// try_to_unmap() until the old frame is free. Takes mmap_sem for reading. Time passes.
MoveResult move_pages(Cpu& cpu, KernelState& kernel, Mm& mm, const std::vector<VirtAddr>& addresses,
                      NodeId nid, MoveShared shared);

/// enum migrate_reason, with v5.0's values.
enum class MigrateReason : std::uint64_t { kSyscall = 3, kMempolicyMbind = 4 };

/// migrate_prep(): pages that are on no LRU list yet could not be isolated.
void migrate_prep(Cpu& cpu, KernelState& kernel);

/// migrate_pages(): moves isolated pages, from the head of the list on, to frames of this node and
/// no other. Returns how many could not be moved, or -ENOMEM when the node had no frame left. They
/// stay in the list: the caller puts them back.
std::int64_t migrate_pages(Cpu& cpu, KernelState& kernel, PageList& from, NodeId nid,
                           MigrateReason reason);

/// putback_movable_pages(): isolated pages return to their LRU lists.
void putback_movable_pages(Cpu& cpu, KernelState& kernel, PageList& pages);

/// remove_migration_ptes(): replaces the migration entries that name `old` by mappings of `new`,
/// which may be the same page. The new page is locked.
void remove_migration_ptes(Cpu& cpu, KernelState& kernel, Page& old_page, Page& new_page);

}  // namespace mmusim::rmap
