// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/rmap/kernel_bench.hpp"

#include <algorithm>
#include <map>

#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "rmap/unmap/try_to_unmap.hpp"

namespace mmusim::test {

using namespace mmusim::rmap;

namespace {

MemoryLayout layout(const KernelBench::Config& config) {
    MemoryLayout result;
    result.nodes = {{KernelBench::kNode0, config.frames_per_node},
                    {KernelBench::kNode1, config.frames_per_node}};
    result.cpus = config.cpus;
    result.reserved_frames = KernelBench::kNode0.value - 1;
    result.slab_lines = config.slab_lines;
    return result;
}

KernelConfig kernel_config(const KernelBench::Config& config) {
    KernelConfig result;
    for (CpuId id = 0; id < config.cpus; ++id) result.node_of_cpu.push_back(id == 0 ? 0 : 1);
    result.swap = {config.swap_slots, config.swap_max_map_count, config.swap_device};
    result.memcgs = config.memcgs;
    result.swap_cluster_max = config.swap_cluster_max;
    result.fault = config.fault;
    return result;
}

X86FlushConfig flush_config(unsigned cpus) {
    X86FlushConfig result;
    result.cpus = cpus;
    return result;
}

/// The code of the kernel reference for an event; "" if it has none there.
std::string token(const EventRecord& record) {
    switch (record.event) {
        case Event::kMnStart:
            return "MN.START";
        case Event::kMnEnd:
            return record.arguments[3] ? "MN.OEND" : "MN.END";
        case Event::kMnInvalidateRange:
            return "MN.INV";
        case Event::kMnClearFlushYoung:
            return "MN.CFY";
        case Event::kMnClearYoung:
            return "MN.CY";
        case Event::kPtlLock:
            return "PTL+";
        case Event::kPtlUnlock:
            return "PTL-";
        case Event::kPtepClearFlushYoungRet:
            return record.arguments[0] ? "A-clear(1)" : "A-clear";
        case Event::kPtepClearFlush:
        case Event::kPteClear:
        case Event::kPteClearDefer:
            return "PTE.CLR";
        case Event::kPtepClearFlushRet:
            return "FL1";
        case Event::kUbcBatchedSet:
            return "DEFER";
        case Event::kUbcWritable:
            return "DEFER.writable";
        case Event::kSetPageDirty:
            return "DIRTY";
        case Event::kUpdateHiwaterRss:
            return "HIW";
        case Event::kPteSetSwap:
            return "PTE.SET(swp)";
        case Event::kPteSetMigration:
            return "PTE.SET(mig)";
        case Event::kPteRestore:
        case Event::kPteRestoreLazyfree:
            return "PTE.SET(old)";
        case Event::kMkcleanSetPte:
            return "PTE.SET(clean)";
        case Event::kMlockPage:
            return "mlock";
        case Event::kClearPageMlock:
            return "clear_page_mlock";
        case Event::kWarnSwapBacked:
            return "WARN";
        case Event::kPteSet:
            return "PTE.SET(new)";
        case Event::kPageRemoveRmap:
            return "RMAP-";
        case Event::kPutPage:
            return "PUT";
        case Event::kMmCounter: {
            static constexpr const char* kNames[] = {"file", "anon", "swap", "shmem"};
            const auto delta = static_cast<std::int64_t>(record.arguments[2]);
            return std::string("C(") + kNames[record.arguments[1]] + (delta < 0 ? "" : "+") +
                   std::to_string(delta) + ")";
        }
        default:
            return "";
    }
}

}  // namespace

KernelBench::KernelBench(const Config& config)
    : machine(config.cpus),
      memory(layout(config)),
      calls(config.cpus, memory, AckOrder::kAfterFunction),
      flush(flush_config(config.cpus), memory, calls),
      client({}, memory),
      kernel(kernel_config(config), memory, flush, chain),
      tasks_(config.cpus) {
    machine.deliver_to(calls);
    for (CpuId id = 0; id < config.cpus; ++id) run_kernel_thread(id);
    // Frames have had other uses before, so their generations tell more than "0".
    PageList used;
    for (unsigned i = 0; i < 64; ++i) used.add_head(kernel.state().pages.alloc_page(cpu(), i % 2));
    kernel.state().pages.free_unref_page_list(cpu(), used);
    trace().clear();
}

void KernelBench::run(CpuId id, Mm& mm) {
    tasks_[id].mm = &mm;
    cpu(id).current = &tasks_[id];
    flush.switch_mm(cpu(id), &mm.context);
}

void KernelBench::run_kernel_thread(CpuId id) {
    tasks_[id].mm = nullptr;
    cpu(id).current = &tasks_[id];
    flush.switch_mm(cpu(id), nullptr);
}

Mm& KernelBench::anon_mm(std::uint64_t pages, std::initializer_list<CpuId> cpus,
                         const Populate& how) {
    Mm& mm = kernel.create_mm(cpu(), "main");
    kernel.mmap_anon(cpu(), mm, range(pages));
    kernel.populate(cpu(), mm, range(pages), how);
    for (const CpuId id : cpus) run(id, mm);
    trace().clear();
    return mm;
}

Page& KernelBench::mapped_page(Mm& mm, std::uint64_t index) {
    const Pte entry = pte(mm, index);
    MMUSIM_CHECK(entry.present(), "a page is mapped there");
    return kernel.state().pages.pfn_to_page(entry.frame());
}

Page& KernelBench::isolate(Mm& mm, std::uint64_t index) {
    Page& page = mapped_page(mm, index);
    MMUSIM_CHECK(kernel.state().lru.isolate_lru_page(cpu(), page), "the page is on an LRU list");
    lock_page(cpu(), page);
    return page;
}

bool KernelBench::try_to_unmap(Page& page, TtuFlags flags) {
    trace().clear();
    return rmap::try_to_unmap(cpu(), kernel.state(), page, flags);
}

std::string KernelBench::canonical(Event entry, Event exit) const {
    std::string result;
    bool inside = false;
    for (const auto& record : machine.trace().records()) {
        if (record.actor != 0) continue;
        if (record.event == entry) {
            inside = true;
            continue;
        }
        if (record.event == exit) inside = false;
        const std::string text = inside ? token(record) : "";
        if (!text.empty()) result += (result.empty() ? "" : ", ") + text;
    }
    return result;
}

std::string KernelBench::order(std::initializer_list<Event> keep) const {
    std::string result;
    for (const auto& record : machine.trace().records()) {
        if (record.actor != 0 || std::find(keep.begin(), keep.end(), record.event) == keep.end())
            continue;
        if (!result.empty()) result += " ";
        result += info(record.event).name;
    }
    return result;
}

std::vector<std::uint64_t> KernelBench::values(Event event, std::string_view argument) const {
    std::vector<std::uint64_t> result;
    for (const auto& record : machine.trace().find(event))
        result.push_back(RecordingTrace::argument(record, argument));
    return result;
}

}  // namespace mmusim::test
