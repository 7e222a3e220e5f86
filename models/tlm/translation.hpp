// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

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
    bool readable = true;  ///< false: it is execute-only
    bool writable = false;
    bool executable = false;
    bool dirty = false;  ///< stores need not touch the page-table entry any more
    bool global = false;
    std::uint8_t order = 0;  ///< the page is 4 KiB << order
    /// The page as its first stage has it is 4 KiB << first_order: more than `order` if the second
    /// stage has smaller ones. It is what an invalidation by address is about.
    std::uint8_t first_order = 0;
    rmap::Instant read_at{};  ///< when the entry was read from memory; of a guest's page, the
                              ///< second stage's entry
    /// When the first of the entries was read that the walk went through: an invalidation after
    /// that may concern one of them.
    rmap::Instant oldest_read{};

    /// Of the 4 KiB page `page`, which the translation is for.
    rmap::FrameNumber frame_of(rmap::PageNumber page) const {
        return frame + page.value % (std::uint64_t{1} << order);
    }
    /// All pages that it is for, one of which is `page`.
    rmap::VirtRange pages_around(rmap::PageNumber page) const {
        return rmap::aligned_pages(rmap::address_of(page), order);
    }
    /// An invalidation of any of these addresses is about it; it is for `page`.
    rmap::VirtRange invalidated_with(rmap::PageNumber page) const {
        return rmap::aligned_pages(rmap::address_of(page),
                                   order < first_order ? first_order : order);
    }
};

/// What the entries above a page allow of it; of x86 and arm64 each level has a say.
struct TableLimits {
    bool readable = true;
    bool writable = true;
    bool executable = true;
    bool user = true;
    bool global = false;  ///< what is below is valid in every address space (RISC-V)
};

/// A page table as a walk has found it, which is what paging-structure caches keep.
struct WalkedTable {
    rmap::FrameNumber frame{};    ///< as the entry names it: of a guest's table in its own memory
    rmap::Instant oldest_read{};  ///< as in Translation
    TableLimits limits;

    /// Where the second stage has put a guest's table.
    struct Located {
        rmap::FrameNumber frame{};
        bool dirty = false;  ///< a store to it changes nothing in the second stage
    };
    std::optional<Located> located;  ///< none: of no guest, or the second stage has to be asked
};

/// What the second stage does not allow.
struct SecondStageViolation {
    rmap::GuestPhysAddr address{};
    /// With EPT's accessed and dirty bits kWrite for every access to a guest's page table.
    rmap::Access access{};
    rmap::Fault cause{};  ///< what it would be in a first stage
};

}  // namespace mmusim::models
