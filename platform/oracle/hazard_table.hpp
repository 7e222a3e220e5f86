// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/oracle/hazard_monitor.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// One hazard of the kernel reference: where the real kernel breaks a rule.
struct HazardRow {
    std::string_view id;       ///< "HZ14"
    std::string_view title;    ///< "initiator's own callback"
    std::string_view summary;  ///< what happens, and what comes of it: one sentence
    std::string_view sign;     ///< what it looks like in a run
    std::string_view since;    ///< first kernel that has it; empty: not known, v5.0 has it
    std::string_view gone;     ///< first kernel known not to have it; empty: none is known
    std::string_view needs;    ///< what has to exist before it can happen here; empty: nothing
    /// Null: nothing can happen, so nothing watches.
    std::unique_ptr<HazardMonitor> (*make)(Vocabulary vocabulary);
};

/// All of them, in the order of reports. A new one is one class and one row.
const std::vector<HazardRow>& hazard_table();

/// "since v4.14, gone in v6.12", "in v5.0".
std::string kernels_text(const HazardRow& row);

}  // namespace mmusim::platform
