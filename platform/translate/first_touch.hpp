// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "models/mem/memory_config.hpp"
#include "rmap/mm/table_builder.hpp"

namespace mmusim::platform {

/// The address space of a traced program: maps each page when it is first touched, as
/// do_anonymous_page() leaves it: for user mode, writable, accessed and dirty; executable too, as a
/// trace does not say what is code. No time passes, and no cache has seen the entries. Frames are
/// given out from the first of the memory on.
class FirstTouch {
public:
    /// `page_order` is one of the format's. `memory` outlives this object.
    FirstTouch(const rmap::PageTableFormat& format, unsigned page_order,
               const models::Topology& topology, rmap::PhysMemPort& memory);

    rmap::PhysAddr root() const { return tables_.root(); }
    unsigned page_shift() const { return page_shift_; }

    /// Maps the page with `address` if it is not. Throws UserError when the format has no
    /// translation of the address, or when the memory is full.
    void touch(rmap::VirtAddr address) {
        const std::uint64_t page = address.value >> page_shift_;
        if (recent_[page % recent_.size()] != page + 1) touch_page(page);
    }

    std::uint64_t pages() const { return pages_; }
    std::uint64_t table_pages() const { return table_pages_; }

private:
    void touch_page(std::uint64_t page);
    rmap::FrameNumber allocate(unsigned order);

    const rmap::PageTableFormat& format_;
    const unsigned page_order_;
    const unsigned page_shift_;
    const std::uint64_t frames_;
    std::uint64_t next_frame_ = 1;
    std::uint64_t table_pages_ = 0;
    rmap::TableBuilder tables_;
    std::uint64_t pages_ = 0;

    static constexpr std::uint64_t kChunk = 1 << 15;  ///< pages that are noted together
    using Mapped = std::bitset<kChunk>;
    std::unordered_map<std::uint64_t, Mapped> mapped_;  ///< by chunk
    std::array<std::uint64_t, 1024> recent_{};          ///< page + 1 of mapped pages, for speed
};

}  // namespace mmusim::platform
