// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "platform/config/platform_config.hpp"
#include "platform/conform/inputs.hpp"
#include "platform/conform/lockstep.hpp"

namespace mmusim::platform {

/// Events of the operation in a capture, its marks apart, by what became of them.
struct ConformCounts {
    std::size_t events = 0;
    std::size_t predicted = 0;  ///< our kernel emitted the same, arguments included
    InputCounts given{};        ///< besides
    std::size_t ignored = 0;    ///< ignored_events() says why
};

struct ConformResult {
    ConformCounts counts;
    std::optional<Mismatch> mismatch;
};

/// Rebuilds the situation of a capture on `platform`, lets our kernel and the machine do the same,
/// and compares event by event up to the first difference. Once per process: SystemC elaborates
/// once. Throws UserError for a capture of something that is not modelled.
ConformResult conform(const Capture& capture, const PlatformConfig& platform);

}  // namespace mmusim::platform
