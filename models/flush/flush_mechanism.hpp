// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "models/flush/invalidation_latency.hpp"
#include "models/interrupt/interrupt_config.hpp"
#include "rmap/ports/interrupt_port.hpp"
#include "rmap/ports/tlb_port.hpp"

namespace mmusim::models {

class CoreModule;

struct FlushMechanismConfig {
    InvalidationLatency invalidation;
    InterruptConfig interrupt;
};

/// What a machine offers the software on one core for getting translations out of TLBs: its own
/// invalidation instructions and a way to reach the others. When and whom to flush is the kernel's
/// decision and not in here.
class FlushMechanism : public rmap::TlbPort, public rmap::InterruptPort {};

/// A mechanism is one file pair and one row.
struct FlushMechanismRow {
    std::string_view name;     ///< value of flush.mechanism in a platform file
    std::string_view summary;  ///< one sentence for `mmusim list mechanisms`
    std::unique_ptr<FlushMechanism> (*create)(CoreModule& core, const FlushMechanismConfig& config);
};

const std::vector<FlushMechanismRow>& flush_mechanisms();

/// The row of that name, or nullptr.
const FlushMechanismRow* find_flush_mechanism(std::string_view name);

}  // namespace mmusim::models
