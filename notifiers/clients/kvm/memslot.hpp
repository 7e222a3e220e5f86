// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>

#include "rmap/types/address.hpp"
#include "rmap/types/ept_entry.hpp"

namespace mmusim::notifiers {

/// struct kvm_memory_slot: `pages` pages of a VM from `first` on. They are memory of the process
/// from `hva` on; without it the slot is fixed: pinned frames of the kernel, mapped at set-up,
/// which no notifier concerns.
struct Memslot {
    rmap::GuestPhysAddr first{};
    std::uint64_t pages = 0;
    std::optional<rmap::VirtAddr> hva{};

    bool fixed() const { return !hva; }
    std::uint64_t bytes() const { return pages * rmap::kPageSize; }
    bool contains(rmap::GuestPhysAddr gpa) const { return first <= gpa && gpa - first < bytes(); }
    bool overlaps(const Memslot& other) const {
        return first < other.first + other.bytes() && other.first < first + bytes();
    }
    /// __gfn_to_hva_memslot(); the slot is not fixed and contains the page.
    rmap::VirtAddr hva_of(rmap::GuestPhysAddr gpa) const { return *hva + (gpa - first); }

    /// The part of the slot that is backed by [range.start, range.end), as
    /// kvm_handle_hva_range() clips it: whole pages.
    struct Part {
        rmap::GuestPhysAddr first{};
        std::uint64_t pages = 0;
    };
    Part backed_by(rmap::VirtRange range) const {
        if (fixed()) return {first, 0};
        const rmap::VirtAddr start = std::max(range.start, *hva);
        const rmap::VirtAddr end = std::min(range.end, *hva + bytes());
        if (end <= start) return {first, 0};
        const std::uint64_t first_page = (start - *hva) >> rmap::kPageShift;
        const std::uint64_t end_page = (end - *hva + rmap::kPageSize - 1) >> rmap::kPageShift;
        return {first + first_page * rmap::kPageSize, end_page - first_page};
    }
};

}  // namespace mmusim::notifiers
