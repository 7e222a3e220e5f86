// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/cpu/mmu_config.hpp"
#include "models/device/dma_device_config.hpp"
#include "models/flush/invalidation_latency.hpp"
#include "models/interrupt/interrupt_config.hpp"
#include "models/iommu/iommu_config.hpp"
#include "models/mem/memory_config.hpp"
#include "rmap/types/kernel_costs.hpp"
#include "rmap/types/swap_device.hpp"

namespace mmusim::platform {

/// What the kernel of the machine does, apart from what it costs.
struct KernelPolicy {
    std::string profile = "v5.0";             ///< kernel version whose order is followed
    unsigned single_page_flush_ceiling = 33;  ///< tlb_single_page_flush_ceiling, pages
    bool pcid = true;                         ///< process-context identifiers in use
    unsigned swap_cluster_max = 32;           ///< pages of one shrink_page_list
    std::uint64_t swap_slots = 65536;
    rmap::SwapDevice swap_device = rmap::SwapDevice::kZram;
};

/// Costs of running guests, on every core.
struct VirtualizationConfig {
    rmap::Duration vm_entry{};
    rmap::Duration vm_exit{};
};

/// A virtual machine that scenarios can use: its vCPUs are pinned to consecutive CPUs.
struct VmConfig {
    std::string name;
    unsigned vcpus = 1;
    unsigned first_cpu = 0;
};

/// A machine.
struct PlatformConfig {
    std::string name;
    std::string description;
    models::Topology topology;
    /// It says how its kernel flushes and what that costs. If not, it is for `mmusim translate`
    /// alone, and `invalidation`, `interrupt`, `virtualization`, `policy` and `costs` say nothing.
    bool runs = true;
    std::uint64_t clock_khz = 0;  ///< core clock; latencies given in cycles are converted with it
    models::MmuConfig mmu;  ///< of every core; TLBs by level, those of one level as in the file
    models::InvalidationLatency invalidation;
    models::MemoryConfig memory;
    models::InterruptConfig interrupt;
    std::string flush_mechanism = "ipi";  ///< a row of models/flush/flush_mechanisms
    VirtualizationConfig virtualization;
    std::vector<VmConfig> vms;  ///< in the order of the file
    std::optional<models::IommuConfig> iommu;
    std::vector<models::DmaDeviceConfig> devices;  ///< behind the IOMMU; in the order of the file
    KernelPolicy policy;
    rmap::KernelCosts costs;
};

}  // namespace mmusim::platform
