// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "models/flush/invalidation_latency.hpp"
#include "models/interrupt/interrupt_config.hpp"
#include "models/mem/memory_config.hpp"
#include "models/tlb/tlb_config.hpp"
#include "models/walker/walker_config.hpp"
#include "rmap/types/kernel_costs.hpp"

namespace mmusim::platform {

/// What the kernel of the machine does, apart from what it costs.
struct KernelPolicy {
    std::string profile = "v5.0";             ///< kernel version whose order is followed
    unsigned single_page_flush_ceiling = 33;  ///< tlb_single_page_flush_ceiling, pages
    bool pcid = true;                         ///< process-context identifiers in use
    unsigned swap_cluster_max = 32;           ///< pages of one shrink_page_list
    std::uint64_t swap_slots = 65536;
};

/// A machine.
struct PlatformConfig {
    std::string name;
    std::string description;
    models::Topology topology;
    std::uint64_t clock_khz = 0;  ///< core clock; latencies given in cycles are converted with it
    models::TlbConfig l1_tlb;
    models::TlbConfig l2_tlb;
    models::WalkerConfig walker;
    models::InvalidationLatency invalidation;
    models::MemoryConfig memory;
    models::InterruptConfig interrupt;
    std::string flush_mechanism = "ipi";  ///< a row of models/flush/flush_mechanisms
    KernelPolicy policy;
    rmap::KernelCosts costs;
};

}  // namespace mmusim::platform
