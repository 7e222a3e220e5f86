// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

enum class PageLocked { kNo, kYes };

struct PageReferenced {
    unsigned vmas = 0;           ///< that accessed the page since they were asked last
    std::uint64_t vm_flags = 0;  ///< of those, or-ed
};

/// page_referenced(): asks every mapping whether the page was accessed, and clears the marks. With
/// `memcg`, VMAs of other groups are left out. A page of a file that is not locked is locked
/// meanwhile; if that fails it counts as referenced. The caller holds a reference. Time passes:
/// Part::kAging and the walk's own.
PageReferenced page_referenced(Cpu& cpu, KernelState& kernel, Page& page, PageLocked is_locked,
                               std::optional<unsigned> memcg);

}  // namespace mmusim::rmap
