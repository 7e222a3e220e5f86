// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "models/tlb/tlb_config.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::models {

/// A device behind the IOMMU that works in the address spaces of processes. C is
/// MemoryConfig::visibility().
struct DmaDeviceConfig {
    std::string name;
    rmap::SourceId source = 0;
    unsigned socket = 0;         ///< whose distances its memory accesses have
    bool ats = true;             ///< has an ATC; else every access is translated by the IOMMU
    TlbConfig atc;               ///< the ATC
    unsigned max_in_flight = 1;  ///< accesses at the same time

    rmap::Duration link{};            ///< one way between device and IOMMU; at least C
    rmap::Duration atc_invalidate{};  ///< one invalidation of the ATC, accesses in flight excepted
    rmap::Duration transfer{};  ///< one access, from its start until the memory is done with it
};

}  // namespace mmusim::models
