// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/time_port.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/ept_entry.hpp"

namespace mmusim::rmap {

/// What the hardware is told of a guest at VM entry.
struct GuestContext {
    VmId vm = 0;          ///< VPID
    PhysAddr ept_root{};  ///< EPT pointer
    GuestPhysAddr cr3{};  ///< the guest's own page tables
};

/// Why a guest has left.
struct GuestExit {
    enum class Reason {
        kExternalInterrupt,  ///< an interrupt for the host has arrived
        kEptViolation,       ///< the second stage does not allow the access
        kHalt,               ///< HLT
    };
    Reason reason = Reason::kHalt;
    GuestPhysAddr address{};  ///< of a violation
    Access access{};          ///< likewise
};

/// The virtualisation instructions of one core.
class GuestPort {
public:
    virtual ~GuestPort() = default;

    /// VM entry, guest instructions until one of them makes the guest leave, VM exit. Interrupts
    /// of the host are off and stay so: one that arrives makes the guest leave and is then pending.
    /// An access that caused a violation is made again at the next entry.
    virtual GuestExit enter_guest(const GuestContext& context) = 0;
};

}  // namespace mmusim::rmap
