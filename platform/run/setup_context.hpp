// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "platform/build/platform.hpp"
#include "platform/run/processes.hpp"
#include "rmap/ports/frame_allocator.hpp"

namespace mmusim::platform {

/// What setting up secondary MMUs before time begins works on. All of it outlives the run.
struct SetupContext {
    const PlatformConfig& platform;
    const ScenarioConfig& scenario;
    std::uint64_t seed = 0;
    Platform& machine;
    Processes& processes;
    rmap::FrameAllocator& frames;
    Rendezvous& rendezvous;
};

}  // namespace mmusim::platform
