// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "models/tlb/geometry.hpp"
#include "models/tlb/tlb_config.hpp"
#include "rmap/types/page_table_format.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// Who sets an accessed or dirty bit that an access needs.
enum class BitUpdate : unsigned char {
    kHardware,  ///< the walker, by a locked instruction
    kFault,     ///< software, at a fault (arm64 without FEAT_HAFDBS, RISC-V Svade); of EPT nobody
};

/// A paging-structure cache: it keeps the tables that entries of one level lead to, by the address
/// bits that chose these entries. x86's PDE cache is of level 2, its PML4 cache of level 4.
struct WalkCacheConfig {
    std::string name;    ///< of its section in the platform file
    unsigned level = 2;  ///< of the entries, 1 = those of the smallest pages, which are in TLBs
    ArrayGeometry geometry;
    rmap::Duration lookup{};
};

/// How the tables of one stage are walked.
struct WalkStageConfig {
    const rmap::PageTableFormat* format = nullptr;
    BitUpdate accessed = BitUpdate::kHardware;
    BitUpdate dirty = BitUpdate::kHardware;
    std::vector<WalkCacheConfig> caches;  ///< asked together: the longest lookup passes
};

/// What is kept of a guest's tables in the caches of the first stage.
enum class NestedCaching : unsigned char {
    kCombined,  ///< where they are in the host's memory (Intel SDM vol. 3, 28.4.1)
    kPerStage,  ///< where the guest says; the second stage is asked again
};

struct WalkerConfig {
    rmap::Duration start{};  ///< from the miss to the first read
    rmap::Duration level{};  ///< per entry, besides the memory read
    WalkStageConfig first{&rmap::x86_64_4level(), {}, {}, {}};
    WalkStageConfig second{&rmap::ept_4level(), {}, {}, {}};
    TlbConfig second_tlb{};  ///< from guest-physical addresses; no arrays: there is none
    NestedCaching nested = NestedCaching::kCombined;
};

}  // namespace mmusim::models
