// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/anon_vma.hpp"
#include "rmap/mm/block_device.hpp"
#include "rmap/mm/kernel_memory.hpp"
#include "rmap/mm/lru.hpp"
#include "rmap/mm/page_allocator.hpp"
#include "rmap/mm/pagevec.hpp"
#include "rmap/mm/swap_space.hpp"
#include "rmap/mm/task.hpp"
#include "rmap/mm/vm_event.hpp"
#include "rmap/ports/flush_port.hpp"
#include "rmap/ports/invalidation_port.hpp"
#include "rmap/types/injected_fault.hpp"

namespace mmusim::rmap {

struct KernelConfig {
    std::vector<NodeId> node_of_cpu;  ///< one per CPU
    SwapConfig swap;
    unsigned memcgs = 1;                  ///< memory control groups, numbered from 0
    std::uint64_t swap_cluster_max = 32;  ///< SWAP_CLUSTER_MAX: pages per reclaim list
    InjectedFault fault = InjectedFault::kNone;
};

/// What one CPU's reclaim did. Each CPU counts only for itself.
struct ReclaimStats {
    std::uint64_t scanned = 0;
    std::uint64_t reclaimed = 0;
    std::uint64_t activated = 0;
    std::uint64_t unmap_failed = 0;
    std::uint64_t written = 0;

    ReclaimStats& operator+=(const ReclaimStats& other) {
        scanned += other.scanned;
        reclaimed += other.reclaimed;
        activated += other.activated;
        unmap_failed += other.unmap_failed;
        written += other.written;
        return *this;
    }
};

/// The global variables of the mm code, and the ports it calls. Kernel functions take it behind
/// the Cpu.
struct KernelState {
    KernelState(const KernelConfig& kernel_config, KernelMemory& kernel_memory,
                FlushPort& flush_port, InvalidationPort& notifier_port);
    KernelState(const KernelState&) = delete;
    KernelState& operator=(const KernelState&) = delete;

    const KernelConfig config;
    KernelMemory& memory;
    FlushPort& flush;
    InvalidationPort& notifiers;

    VmEventCounters vm_events;
    PageAllocator pages;
    Lru lru;
    std::deque<LruPagevecs> lru_pvecs;  ///< one per CPU
    SwapSpace swap;
    BlockDevice disk;
    AnonVmaTable anon_vmas;
    std::map<PhysAddr, std::unique_ptr<AddressSpace>> files;  ///< by mapping(); set-up
    Lock mmlist_lock;
    const PhysAddr last_mm_ctx_id;            ///< word: mms made so far
    const FrameNumber zero_page;              ///< of no node: it has no struct page
    const PhysAddr swapbacked_warned;         ///< word: the WARN_ON_ONCE() of try_to_unmap_one()
    std::vector<ReclaimStats> reclaim_stats;  ///< per CPU, its own

    NodeId node_of(const Cpu& cpu) const { return config.node_of_cpu.at(cpu.id()); }
    AddressSpace& file_of(PageMapping mapping) const { return *files.at(mapping.object()); }
};

}  // namespace mmusim::rmap
