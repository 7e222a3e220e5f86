// SPDX-License-Identifier: Apache-2.0
#include "platform/run/collect.hpp"

#include <algorithm>
#include <string>
#include <tuple>

namespace mmusim::platform {

namespace {

using rmap::CpuId;
using rmap::Event;

/// By end, then by actor: an order that does not depend on the simulator.
std::vector<rmap::OperationResult> finished_operations(Platform& platform) {
    std::vector<rmap::OperationResult> all;
    for (CpuId id = 0; id < platform.cores(); ++id) {
        const auto& finished = platform.core(id).account().finished();
        all.insert(all.end(), finished.begin(), finished.end());
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
        return std::tie(a.end.ps, a.id) < std::tie(b.end.ps, b.id);
    });
    return all;
}

std::vector<OperationStats> operation_stats(Platform& platform) {
    std::array<OperationStats, rmap::kOperationKinds> by_kind;
    for (const auto& operation : finished_operations(platform)) {
        auto& stats = by_kind[static_cast<std::size_t>(operation.kind)];
        if (operation.outcome == rmap::Outcome::kAbandoned) {
            ++stats.abandoned;
            continue;
        }
        stats.pages += operation.pages;
        stats.latency_ps.push_back((operation.end - operation.begin).ps);
        stats.parts += operation.parts;
    }
    std::vector<OperationStats> seen;
    for (std::size_t kind = 0; kind < by_kind.size(); ++kind) {
        if (by_kind[kind].latency_ps.empty() && by_kind[kind].abandoned == 0) continue;
        by_kind[kind].kind = static_cast<rmap::OperationKind>(kind);
        seen.push_back(std::move(by_kind[kind]));
    }
    return seen;
}

void collect_mmus(const Platform& platform, RunResult& result) {
    for (CpuId id = 0; id < platform.cores(); ++id) {
        const auto& mmu = platform.mmu(id);
        for (const auto& tlb : mmu.tlbs()) {
            const auto& stats = tlb->stats();
            result.tlbs.push_back({platform.agents().name(id) + "." + tlb->config().name,
                                   stats.lookups(), stats.hits, stats.misses, stats.invalidated});
        }
        result.walks += mmu.walker.stats().walks;
        result.walk_reads += mmu.walker.stats().reads;
    }
}

void collect_counters(Platform& platform, World& world, RunResult& result) {
    auto& counters = result.counters;
    const auto flush = world.flush_stats();
    for (CpuId id = 0; id < platform.cores(); ++id) {
        counters["ipi_sent"] += world.calls().sent(id);
        counters["ipi_received"] += world.calls().received(id);
    }
    counters["flush_ipi_sent"] = flush.ipi_sent;
    counters["flush_local"] = flush.flush_local;
    counters["flush_remote"] = flush.flush_remote;
    counters["flush_full"] = flush.flush_full;
    counters["flush_partial"] = flush.flush_partial;
    counters["flush_batch"] = flush.flush_batch;
    counters["flush_rounds"] = flush.flush_rounds;

    const auto reclaim = world.reclaim_stats();
    counters["pages_scanned"] = reclaim.scanned;
    counters["pages_reclaimed"] = reclaim.reclaimed;
    counters["pages_activated"] = reclaim.activated;
    counters["pages_written"] = reclaim.written;
    counters["unmap_failed"] = reclaim.unmap_failed;

    const auto count = [&](const char* name, Event event) {
        counters[name] = world.event_count(event);
    };
    count("notifier_start", Event::kMnStart);
    count("notifier_end", Event::kMnEnd);
    count("notifier_invalidate_range", Event::kMnInvalidateRange);
    count("pages_freed", Event::kPageFree);
    count("page_faults", Event::kPageFault);

    for (CpuId id = 0; id < platform.cores(); ++id) {
        const auto& core = platform.core(id).stats();
        counters["user_accesses"] += core.accesses;
        counters["guest_accesses"] += core.guest_accesses;
        counters["vm_exits"] += core.vm_entries;
    }
    counters["interrupt_commands"] = platform.fabric().stats().messages;
    counters["line_transfers"] = platform.memory().stats().transfers;
}

/// A machine without guests or devices has the counters too, so that results can be compared.
void collect_secondary(Platform& platform, World& world, RunResult& result) {
    auto& counters = result.counters;
    for (const char* name :
         {"kvm_remote_tlb_flush", "kvm_kicks", "kvm_faults", "kvm_fault_retries", "kvm_tlb_flush"})
        counters[name] = 0;
    for (CpuId id = 0; id < platform.cores(); ++id)
        counters["second_stage_reads"] += platform.mmu(id).walker.stats().second_stage_reads;
    for (const auto& guest : world.guests().all()) {
        counters["kvm_remote_tlb_flush"] += guest.kvm->stats.remote_tlb_flush;
        counters["kvm_kicks"] += guest.kvm->stats.kicks;
        for (const auto& vcpu : guest.kvm->vcpus) {
            counters["kvm_faults"] += vcpu.stats.faults;
            counters["kvm_fault_retries"] += vcpu.stats.retries;
            counters["kvm_tlb_flush"] += vcpu.stats.tlb_flush;
        }
    }
    counters["spte_set"] = world.event_count(Event::kSpteSet);
    counters["spte_cleared"] = world.event_count(Event::kSpteClear);

    for (const char* name : {"iommu_commands", "iommu_faults", "atc_invalidations", "dma_accesses",
                             "dma_faults", "dma_translation_requests", "iommu_walks"})
        counters[name] = 0;
    if (const auto* iommu = platform.iommu()) {
        counters["iommu_commands"] = iommu->queue.stats().descriptors;
        counters["iommu_faults"] = iommu->stats().faults;
        counters["iommu_walks"] = iommu->stats().walks;
        counters["dma_translation_requests"] = iommu->stats().translation_requests;
        const auto& iotlb = iommu->iotlb_stats();
        result.tlbs.push_back(
            {"iommu.iotlb", iotlb.lookups(), iotlb.hits, iotlb.misses, iotlb.invalidated});
    }
    for (std::size_t n = 0; n < platform.devices(); ++n) {
        const auto& device = platform.device(n);
        counters["atc_invalidations"] += device.stats().invalidations;
        counters["dma_accesses"] += device.stats().accesses;
        counters["dma_faults"] += device.stats().faults;
        const auto& atc = device.atc_stats();
        result.tlbs.push_back({platform.agents().name(platform.agents().devices[n].atc),
                               atc.lookups(), atc.hits, atc.misses, atc.invalidated});
    }
}

}  // namespace

void collect(Platform& platform, World& world, RunResult& result) {
    result.operations = operation_stats(platform);
    collect_mmus(platform, result);
    collect_counters(platform, world, result);
    collect_secondary(platform, world, result);
    result.memory = world.memory_of_processes();
}

}  // namespace mmusim::platform
