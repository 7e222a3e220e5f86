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

/// What one invalidation drops of one cache: the entries to which everything here applies.
struct TlbScope {
    /// 0: the host's entries; none: those of every guest, and not the host's.
    std::optional<rmap::VmId> vm = 0;
    std::optional<SpaceId> space;          ///< none: every address space
    std::optional<rmap::VirtRange> range;  ///< entries whose page overlaps it; none: all
    bool globals = false;                  ///< entries that are valid in every space go as well
    /// Entries of which something was read later stay.
    rmap::Instant read_until = rmap::kNever;

    bool covers(rmap::VmId of) const { return vm ? of == *vm : of != 0; }
};

/// What one instruction drops of each kind of cache of a core's MMU; none: nothing.
struct TlbScopes {
    std::optional<TlbScope> translations;  ///< TLBs: of the host's pages and guests' combined ones
    std::optional<TlbScope> tables;        ///< paging-structure caches of the same
    /// Caches of the second stage alone: its `range` is one of guest-physical addresses.
    std::optional<TlbScope> second_stage;
};

/// An invalidation instruction, by its architecture's words and no more: one that a processor may
/// answer by dropping more drops here what it has to.
struct TlbInstruction {
    /// What it drops of one kind of cache.
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
    Reach translations, tables, second_stage;
};

/// A row for each kind of operation, in no particular order.
const std::vector<TlbInstruction>& tlb_instructions();

TlbScopes scopes_of(const rmap::TlbOperation& operation);

/// What a PASID-selective invalidation of an IOTLB or ATC drops that takes effect at `at`: entries
/// that depend on anything read until then (Intel VT-d, 6.5.2).
TlbScope scope_of(SpaceId pasid, const rmap::VirtRange& range, rmap::Instant at);

}  // namespace mmusim::models
