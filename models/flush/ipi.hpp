// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "models/flush/flush_mechanism.hpp"

namespace mmusim::models {

/// x86: every core invalidates for itself; others are reached by interrupts, one command write per
/// cluster of targets (x2APIC logical destination mode, Intel SDM vol. 3, 10.12.10.2).
std::unique_ptr<FlushMechanism> create_ipi_mechanism(CoreModule& core,
                                                     const FlushMechanismConfig& config);

}  // namespace mmusim::models
