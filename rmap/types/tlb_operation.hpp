// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/address.hpp"
#include "rmap/types/ept_entry.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::rmap {

/// Tags an address space in a core's TLBs: a PCID of 12 bits (Intel SDM vol. 3, 4.10.1) or an ASID
/// of up to 16 (Arm ARM D8.15, RISC-V privileged 12.1.11).
using Pcid = std::uint16_t;

/// What a core can ask of its own MMU. Every operation is complete when it returns: the entries are
/// gone and the accesses through them are done. What each one drops is in models/tlb/tlb_scope.
struct TlbOperation {
    enum class Kind : unsigned char {
        // x86-64 (Intel SDM vol. 3, 4.10.4.1)
        kInvlpg,               ///< entries of `address` in `pcid`, and global ones
        kInvpcidAddress,       ///< INVPCID type 0: entries of `address` in `pcid`
        kInvpcidContext,       ///< INVPCID type 1: entries of `pcid`
        kAll,                  ///< INVPCID type 2, or CR4.PGE toggled: everything
        kInvpcidAllNonGlobal,  ///< INVPCID type 3: everything that is not global
        kCr3Write,             ///< CR3 := {root, pcid}; non-global entries of `pcid` are dropped
        kCr3WriteNoFlush,      ///< CR3 := {root, pcid} with bit 63 set: nothing is dropped
        // VMX (28.4.3.1)
        kInvept,            ///< INVEPT type 1: everything that came through `vm`'s second stage
        kInveptAll,         ///< INVEPT type 2: the same of every guest
        kInvvpidAddress,    ///< INVVPID type 0: entries of `address` in `vm`, every PCID
        kInvvpidContext,    ///< INVVPID type 1: entries of `vm`
        kInvvpidAll,        ///< INVVPID type 2: entries of every guest
        kInvvpidNonGlobal,  ///< INVVPID type 3: entries of `vm` that are not global
        // Armv8-A (Arm ARM D8.16.5), of the VMID `vm`; leaves only: what walk caches keep stays
        kTlbiVae1,        ///< entries of `address` in `pcid`, and global ones
        kTlbiVale1,       ///< the same, leaves only
        kTlbiVaae1,       ///< entries of `address` in every ASID
        kTlbiVaale1,      ///< the same, leaves only
        kTlbiRvae1,       ///< VAE1 of `pages` (FEAT_TLBIRANGE)
        kTlbiRvale1,      ///< VALE1 of `pages`
        kTlbiAside1,      ///< entries of `pcid` that are not global
        kTlbiVmalle1,     ///< stage 1 entries
        kTlbiIpas2e1,     ///< stage 2 entries of the page `guest`
        kTlbiVmalls12e1,  ///< entries of both stages
        kTlbiAlle1,       ///< entries of both stages of every VMID
        // RISC-V (privileged 12.2.1 and 18.3.2)
        kSfenceVma,             ///< rs1 = rs2 = x0: everything
        kSfenceVmaAddress,      ///< rs2 = x0: leaves of `address` in every ASID
        kSfenceVmaAsid,         ///< rs1 = x0: entries of `pcid` that are not global
        kSfenceVmaAddressAsid,  ///< leaves of `address` in `pcid` that are not global
        kHfenceVvma,            ///< SFENCE.VMA with rs1 = rs2 = x0, of `vm`
        kHfenceGvma,            ///< rs1 = x0: what came through `vm`'s second stage
        kHfenceGvmaAll,         ///< rs1 = rs2 = x0: the same of every guest
    };
    Kind kind = Kind::kInvlpg;
    Pcid pcid = 0;
    VirtAddr address{};
    PhysAddr root{};          ///< root table; used by the CR3 writes
    VmId vm = 0;              ///< 0: the host
    std::uint64_t pages = 1;  ///< of 4 KiB; used by the ranges
    GuestPhysAddr guest{};    ///< used by IPAS2
};

}  // namespace mmusim::rmap
