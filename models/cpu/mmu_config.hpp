// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/tlb/tlb_config.hpp"
#include "models/walker/walker_config.hpp"

namespace mmusim::models {

/// The MMU of one core. Each stream is served by one TLB of level 1 and by at most one of each
/// level below; what is below a TLB for both streams is for both as well.
struct MmuConfig {
    std::vector<TlbConfig> tlbs;
    WalkerConfig walker;

    /// The TLB that `stream` meets next after that of `level`; 0: after the core. Null: the walker.
    const TlbConfig* next(Stream stream, unsigned level) const {
        const TlbConfig* nearest = nullptr;
        for (const auto& tlb : tlbs)
            if (tlb.serves(stream) && tlb.level > level && (!nearest || tlb.level < nearest->level))
                nearest = &tlb;
        return nearest;
    }
};

}  // namespace mmusim::models
