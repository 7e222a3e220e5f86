// SPDX-License-Identifier: Apache-2.0
#include "rmap/types/time_rule.hpp"

namespace mmusim::rmap {

namespace {

TimeRule broken_rule = TimeRule::kNone;  // of this process: a test runs each case in its own

}  // namespace

bool broken(TimeRule rule) { return rule == broken_rule; }
void break_rule(TimeRule rule) { broken_rule = rule; }

}  // namespace mmusim::rmap
