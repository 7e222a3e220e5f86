// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "rmap/mm/mm.hpp"
#include "rmap/ports/cpu.hpp"

namespace mmusim::rmap {

/// struct task_struct, as far as the mm code looks at `current`. Touched only by the CPU that runs
/// it.
struct Task {
    std::string name;
    Mm* mm = nullptr;    ///< nullptr: a kernel thread
    FlushBatch tlb_ubc;  ///< what reclaim has unmapped but not flushed yet

    /// task_rss_stat: page faults are counted here first (SPLIT_RSS_COUNTING).
    struct RssStat {
        unsigned events = 0;
        std::array<std::int64_t, kMmCounters> count{};
    };
    RssStat rss_stat;
};

}  // namespace mmusim::rmap
