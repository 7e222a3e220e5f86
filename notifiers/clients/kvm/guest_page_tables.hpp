// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/ports/frame_allocator.hpp"
#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/types/ept_entry.hpp"

namespace mmusim::notifiers {

/// Set-up: `count` frames in a row, ascending; the first is returned. The allocator must hand out
/// neighbours, in either direction.
rmap::FrameNumber allocate_frames(rmap::FrameAllocator& frames, std::uint64_t count);

/// The page tables of a guest (x86-64, four levels, 4 KiB entries), as its own kernel would have
/// made them before the scenario: in a fixed slot of the VM, every entry writable, accessed and
/// dirty, so that the walker changes none of them. Set-up only: `memory` lets no time pass.
class GuestPageTables {
public:
    /// Tables that map() needs at most for `pages` pages in one range, the top one included.
    static std::uint64_t frames_for(std::uint64_t pages);

    /// Tables go to the guest-physical addresses from `first` on, which are `frames` empty frames
    /// from `frame` on.
    GuestPageTables(rmap::PhysMemPort& memory, rmap::GuestPhysAddr first, rmap::FrameNumber frame,
                    std::uint64_t frames);

    /// The guest-virtual range maps to guest-physical memory from `to` on, page by page. Whole
    /// pages; a page is mapped once.
    void map(rmap::VirtRange range, rmap::GuestPhysAddr to);

    /// What the guest's CR3 holds.
    rmap::GuestPhysAddr cr3() const { return first_; }

private:
    std::uint64_t table_below(rmap::PhysAddr entry);
    rmap::FrameNumber guest_frame(std::uint64_t table) const;

    rmap::PhysMemPort& memory_;
    const rmap::GuestPhysAddr first_;
    const rmap::FrameNumber frame_;
    const std::uint64_t frames_;
    std::uint64_t used_ = 1;  ///< tables by number; 0 is the top one
};

}  // namespace mmusim::notifiers
