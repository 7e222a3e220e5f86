// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "platform/conform/capture.hpp"
#include "rmap/types/access.hpp"

namespace mmusim::platform {

/// A VMA of the captured program's own, as far as anybody looked at it: text, data, a stack.
struct ProgramArea {
    rmap::VirtRange range;
    std::uint64_t vm_flags = 0;  ///< 0: not known
};

/// The program's own memory where an operation walks whole address spaces: identities, extents,
/// and the state of the pages when they were first seen.
struct ProgramMemory {
    using Mm = std::uint64_t;  ///< the capture's pointer

    std::vector<ProgramArea> areas;  ///< ascending; of all processes together
    std::map<Mm, std::map<rmap::VirtAddr, std::uint64_t>> ptes;  ///< of pages that are present
    /// Pages that are present whether events show them or not.
    std::map<Mm, std::map<rmap::VirtAddr, rmap::Access>> sure;
    std::map<Mm, std::set<rmap::VirtAddr>> tables;  ///< an address in each page table that exists
    /// Of fork(2): pages that one of parent and child keeps when the other has gone or copied them,
    /// so nobody else has them. The parent has written to them since it forked others.
    std::set<rmap::VirtAddr> unshared;
    std::set<std::uint64_t> busy;  ///< frames that somebody else holds a reference to

    bool empty() const { return areas.empty(); }
};

/// How a page was accessed that has this entry: written, and no page of a file any more, unless it
/// is shared; or only read.
rmap::Access first_access(std::uint64_t pte);

/// Empty unless the operation is one of those: clear_refs, migrate_pages(2), fork(2), exit(2). What
/// the program maps, and most of what it has touched, is the same in all captures; clear_refs has
/// to find all of it.
ProgramMemory find_program_memory(const Capture& capture);

}  // namespace mmusim::platform
