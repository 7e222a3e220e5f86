// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/mprotect.hpp"
#include "rmap/unmap/migrate.hpp"

namespace mmusim::rmap {

// Moving the pages of an address space by the node that they are on (mm/mempolicy.c).

/// nodemask_t: bit n is node n.
using NodeMask = std::uint64_t;

/// node_remap(): the node of `to` at the place that `node` has among those of `from`; `node` itself
/// if it is not one of them, or if one of the masks is empty.
NodeId node_remap(NodeId node, NodeMask from, NodeMask to);

/// The system call migrate_pages(2): moves all pages of the mm that are on the nodes of `from` to
/// those of `to` at the same places of the mask. Takes mmap_sem for reading, and keeps it while it
/// moves them. One move_pages operation; one unmap operation per page. Time passes. Returns how
/// many pages were left where they are, or -ENOMEM.
std::int64_t migrate_pages_call(Cpu& cpu, KernelState& kernel, Mm& mm, NodeMask from, NodeMask to,
                                MoveShared shared);

/// The system call mbind(2) with MPOL_BIND, MPOL_MF_MOVE or MPOL_MF_MOVE_ALL: gives the range VMAs
/// of its own, and moves its pages that are on other nodes to `nid`. Takes mmap_sem for writing,
/// and keeps it while it moves them. One move_pages operation. Time passes. kFault: it came to a
/// part of the range that is not mapped, and nothing was moved. `pages` are those that were.
/// Does not model: what the policy does to pages that are allocated later, merging VMAs of the same
/// policy.
RangeResult mbind(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, NodeId nid,
                  MoveShared shared);

}  // namespace mmusim::rmap
