// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Where a stream comes from, and with it which events it can show at all.
enum class Vocabulary { kSimulation, kCapture50, kCapture61 };

/// Whether `event` can appear: a rule does not miss what nobody could have recorded.
constexpr bool shows(Vocabulary vocabulary, rmap::Event event) {
    switch (vocabulary) {
        case Vocabulary::kSimulation:
            return true;
        case Vocabulary::kCapture50:
            return !rmap::info(event).capture_5_0.empty();
        case Vocabulary::kCapture61:
            return !rmap::info(event).capture_6_1.empty();
    }
    return false;
}

}  // namespace mmusim::platform
