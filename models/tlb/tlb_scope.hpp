// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::models {

/// Tags an address space: a PCID, an ASID or a PASID.
using SpaceId = std::uint32_t;

/// What one invalidation drops: the entries to which everything here applies.
struct TlbScope {
    /// 0: the host's entries; none: those of every guest, and not the host's.
    std::optional<rmap::VmId> vm = 0;
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

    bool covers(rmap::VmId of) const { return vm ? of == *vm : of != 0; }
    /// What it drops of the caches of the second stage, if not kFirst: they have no address spaces
    /// and are asked by guest-physical addresses.
    TlbScope of_second_stage() const;
};

/// An invalidation instruction, by its architecture's words and no more: one that a processor may
/// answer by dropping more drops here what it has to.
struct TlbInstruction {
    /// Which translations it drops.
    enum class Reach : unsigned char {
        kNothing,
        kEverything,           ///< of the operation's `vm`, as all but the last
        kNonGlobal,            ///< in every space
        kSpace,                ///< of `pcid`, what is not global
        kPage,                 ///< of the addresses in every space, and global entries
        kPageOfSpace,          ///< of the addresses in `pcid`, what is not global
        kPageOfSpaceOrGlobal,  ///< of the addresses in `pcid`, and global entries
        kGuestPage,            ///< of the guest-physical page `guest`
        kEveryGuest,           ///< everything of every guest, and nothing of the host
    };
    rmap::TlbOperation::Kind kind;
    std::string_view name;    ///< as in the manual
    std::string_view source;  ///< the manual's section
    Reach reach;
    TlbScope::Tables tables = TlbScope::Tables::kOfRange;
    TlbScope::Stages stages = TlbScope::Stages::kFirst;
};

/// A row for each kind of operation, in no particular order.
const std::vector<TlbInstruction>& tlb_instructions();

/// What an operation drops; none: nothing.
std::optional<TlbScope> scope_of(const rmap::TlbOperation& operation);

/// What a PASID-selective invalidation of an IOTLB or ATC drops that takes effect at `at`: entries
/// that depend on anything read until then (Intel VT-d, 6.5.2).
TlbScope scope_of(SpaceId pasid, const rmap::VirtRange& range, rmap::Instant at);

}  // namespace mmusim::models
