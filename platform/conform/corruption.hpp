// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "platform/conform/capture.hpp"

namespace mmusim::platform {

/// One change to a capture that makes it say something else, to see whether it is noticed.
struct Corruption {
    enum class Kind { kSwap, kDelete, kDuplicate, kArgument };

    Kind kind{};
    std::size_t event = 0;     ///< index in Capture::events
    std::size_t other = 0;     ///< kSwap: the event that changes places with it
    std::size_t argument = 0;  ///< kArgument
    std::string value;         ///< kArgument: what it becomes

    /// "line 27: swapped with line 28: mm_page_free ...".
    std::string text(const Capture& capture) const;
};

/// `count` of them, the four kinds in turn, at places that `seed` decides. Only events that a
/// replay accounts for are touched; each changes what the capture says.
std::vector<Corruption> plan_corruptions(const Capture& capture, std::size_t count,
                                         std::uint64_t seed);

Capture corrupted(Capture capture, const Corruption& corruption);

}  // namespace mmusim::platform
