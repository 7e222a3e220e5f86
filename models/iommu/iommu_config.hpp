// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/tlb/tlb_config.hpp"
#include "models/walker/walker_config.hpp"

namespace mmusim::models {

/// A remapping unit like those of Intel VT-d in scalable mode. C is MemoryConfig::visibility().
struct IommuConfig {
    unsigned socket = 0;           ///< whose distances its memory accesses have
    TlbConfig iotlb;               ///< lookup and fill are the unit's own time per request
    ArrayGeometry walk_cache;      ///< level-2 entries of first-level tables; no entries: none
    ArrayGeometry pasid_cache;     ///< PASID-table entries, by device and PASID
    WalkerConfig walker;           ///< `level` is of first-level tables only
    unsigned walkers = 1;          ///< requests that are walked for at the same time
    unsigned queue_entries = 256;  ///< descriptors of the invalidation queue, a power of two
    unsigned queue_lines = 16;     ///< that the queue keeps: of descriptors and of status words
    unsigned fault_records = 8;    ///< fault recording registers

    rmap::Duration doorbell_write{};          ///< tail-register write, on the core
    rmap::Duration doorbell{};                ///< from the core to the unit; at least C
    rmap::Duration descriptor{};              ///< decoding one descriptor, besides fetching it
    rmap::Duration iotlb_invalidate{};        ///< one IOTLB invalidation, walks in flight excepted
    rmap::Duration pasid_cache_invalidate{};  ///< one PASID-cache invalidation
};

}  // namespace mmusim::models
