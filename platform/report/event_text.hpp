// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// What an actor, or a part of it, is called: "core3", "core3.l1_tlb".
using ActorName = std::function<std::string(rmap::ActorId)>;

/// "1234 ns", with as many decimals as it takes to be exact.
std::string text(rmap::Duration duration);
std::string text(rmap::Instant instant);

/// "[0x1000, 0x3000)"; "everything" for kAllAddresses.
std::string text(rmap::VirtRange range);

/// "0x1000".
std::string hex(std::uint64_t value);

/// "0.17": the 17th operation of actor 0. "none" for 0.
std::string operation_text(rmap::OperationId operation);

}  // namespace mmusim::platform
