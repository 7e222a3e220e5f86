// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Appends the arguments as members of a JSON object, each after a comma, with the names and
/// notations of events.def: `,"pfn":"0x1815","mm":2`. Numbers in hex are strings.
void append_arguments(fmt::memory_buffer& out, const rmap::EventRecord& record);

}  // namespace mmusim::platform
