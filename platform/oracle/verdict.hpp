// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// Something that must not have happened.
struct Violation {
    std::string rule;  ///< "stale-translation", "lost-write", or a rule's id
    rmap::Instant time;
    std::string agent;        ///< who used or did it: "core3.dtlb", "core0"
    std::string translation;  ///< "mm 2 va 0x100000003000 -> pfn 0x1a2b gen 4"; empty where none is
                              ///< concerned
    rmap::Duration entry_age;         ///< how long the agent had held the translation
    rmap::OperationId operation = 0;  ///< the one that should have removed it, or broke the rule
    std::string operation_name;       ///< "unmap 0.17 in shrink_page_list 0.3"
    std::string missing;    ///< the flush that was missing, late, too narrow or mis-tagged
    rmap::Duration window;  ///< since when it was wrong
};

struct RuleVerdict {
    std::string id;
    std::uint64_t judged = 0;  ///< situations in which the rule applied
    std::uint64_t violated = 0;
};

/// One time that a hazard happened.
struct HazardOccurrence {
    rmap::Instant time;
    std::string agent;
    rmap::OperationId operation = 0;
    std::string operation_name;
    std::string what;         ///< to which page, mm, client
    std::string translation;  ///< that it is about; empty where it is about none
    rmap::Duration window;    ///< how long it lasted, where that can be seen
};

/// What one hazard did: a rule that the kernel itself breaks, and no violation of the machine.
struct HazardVerdict {
    std::string id;               ///< "HZ7"
    std::uint64_t count = 0;      ///< times that it happened
    rmap::Duration total_window;  ///< of all of them
    rmap::Duration longest_window;
    HazardOccurrence first;
    std::uint64_t wrong_uses = 0;  ///< of translations that it left behind
    Violation first_wrong_use;     ///< if there was one
};

struct OracleReport {
    bool on = true;
    std::uint64_t checked = 0;  ///< accesses through cached translations that were judged
    std::vector<RuleVerdict> rules;
    std::vector<Violation> violations;   ///< in order of (time, agent); at most kMaxViolations
    std::uint64_t violations_found = 0;  ///< all of them
    std::vector<HazardVerdict> hazards;  ///< that happened, in the order of the table
};

inline constexpr std::size_t kMaxViolations = 1000;

}  // namespace mmusim::platform
