// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "rmap/types/access.hpp"

// A second opinion on page tables: from the manuals alone, knowing nothing of PageTableFormat, of
// walkers, and of anything that caches.

namespace mmusim::test {

/// What the tables say of an address.
struct ReferencePage {
    std::uint64_t address = 0;                                    ///< where it is
    bool readable = false, writable = false, executable = false;  ///< in user mode
    bool accessed = false, dirty = false;

    bool allows(rmap::Access access) const {
        return access == rmap::Access::kRead    ? readable
               : access == rmap::Access::kWrite ? writable
                                                : executable;
    }
};

using ReadWord = std::function<std::uint64_t(std::uint64_t address)>;

/// Walks the tables of one stage; nothing: the address is not mapped.
std::optional<ReferencePage> reference_walk(std::string_view format, const ReadWord& read,
                                            std::uint64_t root, std::uint64_t address);

/// What both stages say of a guest's address.
struct ReferenceGuestPage {
    bool violated = false;  ///< the second stage does not let the guest's tables be read
    std::optional<ReferencePage> first;   ///< none: the guest does not map it
    std::optional<ReferencePage> second;  ///< of the page; none: the second stage does not map it
};
ReferenceGuestPage reference_walk(std::string_view first, std::string_view second,
                                  const ReadWord& read, std::uint64_t first_root,
                                  std::uint64_t second_root, std::uint64_t address);

}  // namespace mmusim::test
