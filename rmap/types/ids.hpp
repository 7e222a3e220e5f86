// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mmusim::rmap {

using CpuId = std::uint32_t;

/// Whoever acts in simulated time: a core, a device or a home. Fixed by the configuration; part of
/// the total order of events (time, actor, sequence). Core n is actor n.
using ActorId = std::uint32_t;
inline constexpr ActorId kNoActor = ~ActorId{0};

/// An address space: x86 `context.ctx_id`, unique in a run and never reused. 0 names none.
using MmId = std::uint64_t;
inline constexpr MmId kInitMm = 1;

/// A virtual machine: the VPID that tags its combined translations (Intel SDM vol. 3, 28.1), 0 =
/// the host itself.
using VmId = std::uint16_t;

/// Process-address-space identifier of PCI Express: 20 bits.
using Pasid = std::uint32_t;

/// Requester of PCI Express: bus in the upper byte, device and function in the lower one.
using SourceId = std::uint16_t;

/// The operation that caused something: actor in the upper bits, the actor's own count below, so
/// that it never depends on the order in which the simulator runs its threads. 0 names none.
using OperationId = std::uint64_t;
constexpr OperationId operation_id(ActorId actor, std::uint64_t count) {
    return (std::uint64_t{actor} + 1) << 40 | count;
}

/// Raised when a frame returns to the allocator, and when its content is handed over for good (I/O
/// started, copied away). A cached translation remembers the generation it was made for.
using Generation = std::uint32_t;

}  // namespace mmusim::rmap
