// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// Memory and time as a walk needs them, in the name of whoever walks.
class WalkPort {
public:
    /// An entry as a load has seen it, or as it was when a locked instruction was serialised.
    struct Read {
        rmap::Word word;
        rmap::Instant at;
    };

    virtual ~WalkPort() = default;
    /// Reads an entry or, with an operation, makes one locked instruction of it. Its time passes.
    virtual Read access(rmap::PhysAddr address, const rmap::PhysMemPort::Apply* apply) = 0;
    virtual void spend(rmap::Duration time) = 0;
};

}  // namespace mmusim::models
