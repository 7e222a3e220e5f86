// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/ids.hpp"

namespace mmusim::platform {

/// Different generators for the different actors of one run and for different seeds.
inline std::uint64_t thread_seed(std::uint64_t seed, rmap::ActorId actor) {
    return seed * 0x9e3779b97f4a7c15ull + (std::uint64_t{actor} << 32 | (actor + 1));
}

}  // namespace mmusim::platform
