// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rmap/ports/time_port.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// How far an actor's local time may run ahead of kernel time before it observes foreign effects
/// of a kind: the least time from a point resolved at kernel time to such an effect. Up to these
/// limits temporal decoupling changes nothing (time-model rule 3).
struct Lookahead {
    rmap::Duration memory;     ///< C: least coherence latency between two cores
    rmap::Duration interrupt;  ///< D: least delivery time after the fabric's slot
    /// Least way of an invalidation from the IOMMU to a device; none without devices.
    rmap::Duration invalidation{rmap::kNever.ps / 2};
    /// Used for every kind instead, exact or not; counted effects tell which.
    std::optional<rmap::Duration> quantum;

    rmap::Duration limit(rmap::Observed kind) const {
        const auto exact = exact_limit(kind);
        if (!quantum) return exact;
        return *quantum > automatic() ? *quantum : rmap::min(*quantum, exact);
    }
    /// The automatic quantum: the largest that is exact for every kind.
    rmap::Duration automatic() const {
        return rmap::min(invalidation, rmap::min(memory, interrupt));
    }

private:
    rmap::Duration exact_limit(rmap::Observed kind) const {
        switch (kind) {
            case rmap::Observed::kMemory:
                return memory;
            case rmap::Observed::kInterrupt:
                return interrupt;
            case rmap::Observed::kInvalidation:
                return invalidation;
        }
        return automatic();
    }
};

}  // namespace mmusim::models
