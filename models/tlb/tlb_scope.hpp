// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::models {

/// Tags an address space: a PCID, an ASID or a PASID.
using SpaceId = std::uint32_t;

/// What one invalidation drops: the entries to which everything here applies.
struct TlbScope {
    rmap::VmId vm = 0;                     ///< 0: the host
    std::optional<SpaceId> space;          ///< none: every address space
    std::optional<rmap::VirtRange> range;  ///< entries whose page overlaps it; none: all
    bool globals = false;                  ///< entries that are valid in every space go as well
    /// Entries of which something was read later stay.
    rmap::Instant read_until = rmap::kNever;

    /// What happens to tables that walk caches know; `globals` does not matter to them.
    enum class Tables : unsigned char {
        kOfRange,  ///< those on the way to an address of the range go
        kAll,      ///< also those on the way to any other (INVLPG: Intel SDM vol. 3, 4.10.4.1)
        kKept,     ///< all stay: leaf-only operations
    };
    Tables tables = Tables::kOfRange;

    /// Of a guest: which cached results of its two stages.
    enum class Stages : unsigned char {
        kFirst,   ///< all that is found by virtual addresses; what is known of the second stage
                  ///< alone stays
        kSecond,  ///< only that, and `range` is of guest-physical addresses
        kBoth,    ///< both; with `range` everything of the second stage
    };
    Stages stages = Stages::kFirst;
};

/// What an instruction drops; none: nothing. INVEPT drops everything of its guest, every other
/// instruction entries of the host only (Intel SDM vol. 3, 28.4.3.1: outside of a guest they act
/// on VPID 0).
std::optional<TlbScope> scope_of(const rmap::TlbOperation& operation);

/// What a PASID-selective invalidation of an IOTLB or ATC drops that takes effect at `at`: entries
/// that depend on anything read until then (Intel VT-d, 6.5.2).
TlbScope scope_of(SpaceId pasid, const rmap::VirtRange& range, rmap::Instant at);

}  // namespace mmusim::models
