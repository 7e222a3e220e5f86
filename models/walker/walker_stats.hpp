// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "rmap/types/page_table_format.hpp"

namespace mmusim::models {

/// Counts of one stage, by level of the entries.
struct WalkStageStats {
    std::array<std::uint64_t, rmap::PageTableFormat::kMaxLevels + 1> reads{};
    std::array<std::uint64_t, rmap::PageTableFormat::kMaxLevels + 1>
        cache_hits{};  ///< of that level
};

struct WalkerStats {
    std::uint64_t walks = 0;
    std::uint64_t nested = 0;   ///< of them, those of a guest, with a second stage
    std::uint64_t reads = 0;    ///< page-table entries read; of a nested walk, the guest's own
    std::uint64_t assists = 0;  ///< accessed or dirty bits set in these
    std::uint64_t faults = 0;   ///< page faults, a guest's included
    std::uint64_t second_stage_reads = 0;    ///< second-stage entries read
    std::uint64_t second_stage_assists = 0;  ///< accessed or dirty bits set in these
    std::uint64_t violations = 0;            ///< walks that the second stage has ended

    static constexpr std::size_t kMostReads = 31;
    /// Walks by the entries that they have read in both stages; the last: as many or more.
    std::array<std::uint64_t, kMostReads + 1> walks_by_reads{};
    WalkStageStats first;
    WalkStageStats second;
};

}  // namespace mmusim::models
