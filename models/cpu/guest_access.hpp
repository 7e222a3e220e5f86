// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/tlm/translation.hpp"

namespace mmusim::models {

/// How one guest instruction that accesses memory has ended.
struct GuestAccess {
    enum class Outcome {
        kDone,
        kInterrupt,  ///< an interrupt of the host has arrived: nothing was accessed, no time passed
        kViolation,  ///< of the second stage: the guest has to leave and makes the access again
        kPageFault,  ///< of the guest's own tables
    };
    Outcome outcome = Outcome::kDone;
    SecondStageViolation violation;  ///< meaningful only with kViolation
};

}  // namespace mmusim::models
