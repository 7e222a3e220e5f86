// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::rmap {

/// Process-context identifier of x86-64: 12 bits (Intel SDM vol. 3, 4.10.1).
using Pcid = std::uint16_t;

/// What a core can ask of its own MMU (Intel SDM vol. 3, 4.10.4.1). Every operation is complete
/// when it returns: the entries are gone and the accesses through them are done.
struct TlbOperation {
    enum class Kind {
        kInvlpg,           ///< entries of `address` in the current PCID, and global ones
        kInvpcidAddress,   ///< INVPCID type 0: entries of `address` in `pcid`
        kCr3Write,         ///< CR3 := {root, pcid}; non-global entries of `pcid` are dropped
        kCr3WriteNoFlush,  ///< CR3 := {root, pcid} with bit 63 set: nothing is dropped
        kAll,              ///< INVPCID type 2 or CR4.PGE toggled: everything of the host
        kInvept,           ///< INVEPT single-context: everything that came through `vm`'s tables
    };
    Kind kind = Kind::kInvlpg;
    Pcid pcid = 0;
    VirtAddr address{};
    PhysAddr root{};  ///< page-map level 4 table; used by the CR3 writes
    VmId vm = 0;      ///< used by INVEPT
};

}  // namespace mmusim::rmap
