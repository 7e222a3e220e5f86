// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "models/tlm/translation.hpp"
#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/types/function_ref.hpp"

namespace mmusim::models {

/// An entry as a load has seen it, or as it was when a locked instruction was serialised.
struct EntryRead {
    rmap::Word word;
    rmap::Instant at;
};

/// Reads the entry at an address or, with an operation, makes one locked instruction of it; in the
/// name of whoever walks, whose time passes.
using EntryAccess = rmap::FunctionRef<EntryRead(rmap::PhysAddr, const rmap::PhysMemPort::Apply*)>;

/// The walk of a guest's second stage: four levels, leaves of 4 KiB and 2 MiB, accessed and dirty
/// bits in use (Intel SDM vol. 3, 28.3.2 and 28.3.5). The bits are set by a locked instruction in
/// the entry that was read and in no other: an entry that changed meanwhile is read again. Returns
/// the leaf, writable if the entries of all levels are; nothing if it does not allow the access.
std::optional<Translation> walk_second_stage(rmap::PhysAddr root, rmap::GuestPhysAddr address,
                                             rmap::Access access, EntryAccess access_entry);

/// Where `address` is, given the leaf that maps it.
rmap::PhysAddr physical(rmap::GuestPhysAddr address, const Translation& leaf);

/// Both stages in one entry for the guest's `page` (28.4.1, combined mappings): the smaller of
/// their pages, the permissions of both, `dirty` if no bit is left to be set in either. Generation
/// and time of reading are those of the second stage's leaf.
Translation combine(rmap::PageNumber page, const Translation& first, const Translation& second);

}  // namespace mmusim::models
