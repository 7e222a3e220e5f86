// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ept_entry.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// What is cached of a page-table entry or, of a guest, of the entries of both its stages.
struct Translation {
    rmap::FrameNumber frame{};  ///< the first of the page
    rmap::Generation generation = 0;
    bool writable = false;
    bool executable = false;
    bool dirty = false;  ///< stores need not touch the page-table entry any more
    bool global = false;
    std::uint8_t order = 0;   ///< the page is 4 KiB << order
    rmap::Instant read_at{};  ///< when the entry was read from memory; of a guest's page, the
                              ///< second stage's entry
    /// When the first of the entries was read that the walk went through: an invalidation after
    /// that may concern one of them.
    rmap::Instant oldest_read{};

    /// Without another look at the page-table entry: a store needs one that is known to be dirty
    /// (Intel SDM vol. 3, 4.8 and 4.10.2.3).
    bool allows(rmap::Access access) const {
        switch (access) {
            case rmap::Access::kRead:
                return true;
            case rmap::Access::kWrite:
                return writable && dirty;
            case rmap::Access::kExecute:
                return executable;
        }
        return false;
    }
    /// Of the 4 KiB page `page`, which the translation is for.
    rmap::FrameNumber frame_of(rmap::PageNumber page) const {
        return frame + page.value % (std::uint64_t{1} << order);
    }
    /// All pages that it is for, one of which is `page`.
    rmap::VirtRange pages_around(rmap::PageNumber page) const {
        return rmap::aligned_pages(rmap::address_of(page), order);
    }
};

/// A page table as a walk has found it: what paging-structure caches keep of a level-2 entry.
struct WalkedTable {
    rmap::FrameNumber frame{};
    rmap::Instant oldest_read{};  ///< as in Translation
};

/// What the second stage does not allow.
struct SecondStageViolation {
    rmap::GuestPhysAddr address{};
    rmap::Access access{};  ///< kWrite for every access to a guest's page table
};

}  // namespace mmusim::models
