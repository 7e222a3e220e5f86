// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/guest_page_tables.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::notifiers {

using rmap::FrameNumber;
using rmap::GuestPhysAddr;
using rmap::kPageShift;
using rmap::kPageSize;
using rmap::Part;
using rmap::PhysAddr;
using rmap::Pte;
using rmap::VirtAddr;

namespace {

constexpr std::uint64_t kUsed = Pte::kWritable | Pte::kAccessed | Pte::kDirty;
constexpr std::uint64_t kEntries = 512;

}  // namespace

FrameNumber allocate_frames(rmap::FrameAllocator& frames, std::uint64_t count) {
    FrameNumber last = frames.allocate_frame();
    FrameNumber lowest = last;
    for (std::uint64_t i = 1; i < count; ++i) {
        const FrameNumber next = frames.allocate_frame();
        MMUSIM_CHECK(next == last + 1 || last == next + 1, "frames in a row are neighbours");
        lowest = std::min(lowest, next);
        last = next;
    }
    return lowest;
}

std::uint64_t GuestPageTables::frames_for(std::uint64_t pages) {
    std::uint64_t total = 1;
    std::uint64_t entries = pages;
    for (unsigned level = 1; level < rmap::kPageTableLevels; ++level) {
        entries = (entries + kEntries - 1) / kEntries + 1;  // a range may straddle a boundary
        total += entries;
    }
    return total;
}

GuestPageTables::GuestPageTables(rmap::PhysMemPort& memory, GuestPhysAddr first, FrameNumber frame,
                                 std::uint64_t frames)
    : memory_(memory), first_(first), frame_(frame), frames_(frames) {}

/// In the guest's eyes: what an entry holds.
FrameNumber GuestPageTables::guest_frame(std::uint64_t table) const {
    return {(first_.value >> kPageShift) + table};
}

/// The number of the table that an entry names; a new one if it names none.
std::uint64_t GuestPageTables::table_below(PhysAddr entry) {
    const Pte found{memory_.load(entry, Part::kGuest).value};
    if (found.present()) return found.frame() - guest_frame(0);
    MMUSIM_CHECK(used_ < frames_, "the slot of the guest's tables is large enough");
    const Pte made = Pte::present_entry(guest_frame(used_), kUsed);
    memory_.store(entry, {made.raw(), 0}, Part::kGuest);
    return used_++;
}

void GuestPageTables::map(rmap::VirtRange range, GuestPhysAddr to) {
    for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
        std::uint64_t table = 0;
        for (unsigned level = rmap::kPageTableLevels; level > 1; --level)
            table = table_below(rmap::entry_address(frame_ + table, address, level));
        const PhysAddr entry = rmap::entry_address(frame_ + table, address, 1);
        MMUSIM_CHECK(memory_.load(entry, Part::kGuest).value == 0, "a page is mapped once");
        const FrameNumber frame{(to.value + (address - range.start)) >> kPageShift};
        memory_.store(entry, {Pte::present_entry(frame, kUsed).raw(), 0}, Part::kGuest);
    }
}

}  // namespace mmusim::notifiers
