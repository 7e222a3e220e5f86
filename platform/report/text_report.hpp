// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "platform/report/results_json.hpp"

namespace mmusim::platform {

enum class Colour { kOff, kOn };

/// What `mmusim run` prints: latencies by kind of operation, where their time goes, flushes, TLBs,
/// the verdict of the oracle. At most 100 columns, except for long names of translations and
/// flushes. Throws InvariantError when parts and latencies disagree.
std::string text_report(const FinishedRun& run, Colour colour);

}  // namespace mmusim::platform
