// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "rmap/types/address.hpp"
#include "rmap/types/event.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// What an actor, or a part of it, is called: "core3", "core3.dtlb".
using ActorName = std::function<std::string(rmap::ActorId)>;

/// The range whose start and end are the arguments from `index` on.
inline rmap::VirtRange range_at(const rmap::EventRecord& record, std::size_t index) {
    return {{record.arguments[index]}, {record.arguments[index + 1]}};
}

/// "1234 ns", with as many decimals as it takes to be exact.
std::string text(rmap::Duration duration);
std::string text(rmap::Instant instant);

/// "[0x1000, 0x3000)"; "everything" for kAllAddresses.
std::string text(rmap::VirtRange range);

/// "0x1000".
std::string hex(std::uint64_t value);

/// "mm 2 va 0x1000 -> pfn 0x1a2b gen 4".
std::string translation_text(rmap::MmId mm, rmap::VirtAddr address, rmap::FrameNumber frame,
                             std::uint64_t generation);
/// The one whose entry this event has cleared: pte_clear_defer, ptep_clear_flush or pte_clear.
std::string cleared_translation(const rmap::EventRecord& record);

/// "0.17": the 17th operation of actor 0. "none" for 0.
std::string operation_text(rmap::OperationId operation);

}  // namespace mmusim::platform
