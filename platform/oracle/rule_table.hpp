// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// One ordering rule of the kernel reference.
struct RuleRow {
    std::string_view id;       ///< "T6"
    std::string_view title;    ///< "free after flush"
    std::string_view summary;  ///< one sentence
    std::unique_ptr<Monitor> (*make)(Vocabulary vocabulary);
};

/// All rules that are monitored, in the order of reports. A new rule is one class and one row.
const std::vector<RuleRow>& rule_table();

}  // namespace mmusim::platform
