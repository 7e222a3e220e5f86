// SPDX-License-Identifier: Apache-2.0
#include "platform/config/scenario_schema.hpp"

#include <algorithm>

#include "platform/config/section_reader.hpp"
#include "rmap/types/cpu_mask.hpp"

namespace mmusim::platform {
namespace {

constexpr NamedValue<AccessPattern> kPatterns[] = {{"idle", AccessPattern::kIdle},
                                                   {"sequential", AccessPattern::kSequential},
                                                   {"uniform", AccessPattern::kUniform}};
constexpr NamedValue<RegionKind> kKinds[] = {
    {"anon", RegionKind::kAnon}, {"file", RegionKind::kFile}, {"shmem", RegionKind::kShmem}};
constexpr NamedValue<Sharing> kSharings[] = {{"private", Sharing::kPrivate},
                                             {"fork", Sharing::kFork}};
constexpr NamedValue<OperationType> kTypes[] = {
    {"reclaim", OperationType::kReclaim},
    {"move_pages", OperationType::kMovePages},
    {"munmap", OperationType::kMunmap},
    {"oom_reap", OperationType::kOomReap},
    {"madvise_dontneed", OperationType::kMadviseDontneed},
    {"madvise_free", OperationType::kMadviseFree},
    {"mprotect", OperationType::kMprotect},
    {"mlock", OperationType::kMlock},
    {"munlock", OperationType::kMunlock},
    {"fork", OperationType::kFork},
    {"clear_refs", OperationType::kClearRefs},
    {"fsync", OperationType::kFsync},
    {"punch_hole", OperationType::kPunchHole}};
constexpr NamedValue<WatchedBy> kWatchers[] = {{"none", WatchedBy::kNobody},
                                               {"recorder", WatchedBy::kRecorder},
                                               {"sleeper", WatchedBy::kSleeper}};

constexpr CountRange kCpus{0, rmap::kMaxCpus - 1};
constexpr CountRange kThreads{0, rmap::kMaxCpus};
constexpr CountRange kPages{1, 1 << 24};

void read_identity(SectionReader scenario, ScenarioConfig& out) {
    scenario.text("name", out.name, "short name of the scenario", Need::kRequired);
    scenario.text("description", out.description, "one line about the scenario");
    scenario.finish();
}

ProcessConfig read_process(SectionReader process, const std::string& name) {
    ProcessConfig out;
    out.name = name;
    process.count("count", out.count, {1, 1 << 16}, "equal processes", Need::kOptional);
    process.count("first_cpu", out.first_cpu, kCpus, "CPU of the first thread", Need::kOptional);
    process.count("threads", out.threads, kThreads, "running threads of each", Need::kOptional);
    process.count("lazy_threads", out.lazy_threads, kThreads,
                  "threads of each that touched the pages and sleep", Need::kOptional);
    process.choice("pattern", out.pattern, kPatterns, "order of the accesses");
    process.count("write_percent", out.write_percent, {0, 100}, "writes among the accesses",
                  Need::kOptional);
    process.time("access", out.access, Zero::kForbidden, "one access besides its translation");
    process.count("accesses", out.accesses, {0, 1ull << 40},
                  "per thread; 0 until the operations are done", Need::kOptional);
    process.choice("notifier", out.watched_by, kWatchers, "plain notifier client");
    process.finish();
    return out;
}

RegionConfig read_region(SectionReader region, const std::string& name) {
    RegionConfig out;
    out.name = name;
    region.text("process", out.process, "name of a process", Need::kRequired);
    region.choice("kind", out.kind, kKinds, "what is mapped");
    region.choice("sharing", out.sharing, kSharings, "anon pages of several processes");
    region.count("pages", out.pages, kPages, "size in pages of 4 KiB");
    region.flag("written", out.written, "the pages were written before");
    region.flag("young", out.young, "accessed bits are set when the run begins");
    region.flag("active", out.active, "the pages begin on the active LRU list");
    region.flag("in_use", out.in_use, "threads keep accessing it; else they touch it only once");
    region.finish();
    return out;
}

void read_memory_user(SectionReader& user, const std::string& name, MemoryUserConfig& out) {
    out.name = name;
    user.flag("enabled", out.enabled, "false: as if it were not there");
    user.text("process", out.process, "name of a process", Need::kRequired);
    user.choice("pattern", out.pattern, kPatterns, "order of the accesses");
    user.count("write_percent", out.write_percent, {0, 100}, "writes among the accesses",
               Need::kOptional);
}

GuestConfig read_guest(SectionReader guest, const std::string& name) {
    GuestConfig out;
    read_memory_user(guest, name, out);
    guest.text("vm", out.vm, "name of a VM of the platform", Need::kRequired);
    guest.time("access", out.access, Zero::kForbidden, "one access besides its translation");
    guest.flag("halted", out.halted, "it touches its memory once and halts");
    guest.finish();
    return out;
}

DmaConfig read_dma(SectionReader dma, const std::string& name) {
    DmaConfig out;
    read_memory_user(dma, name, out);
    dma.text("device", out.device, "name of a device of the platform", Need::kRequired);
    dma.time("gap", out.gap, Zero::kForbidden, "from the start of an access to the next one");
    dma.time("fault_pause", out.fault_pause, Zero::kForbidden,
             "after an access that was not allowed");
    dma.finish();
    return out;
}

OperationConfig read_operation(SectionReader operation, const std::string& name) {
    OperationConfig out;
    out.name = name;
    operation.choice("type", out.type, kTypes, "what is done", Need::kRequired);
    operation.text("region", out.region, "name of a region", Need::kRequired);
    operation.count("cpu", out.cpu, kCpus, "CPU that does it", Need::kOptional);
    operation.count("pages", out.pages, {0, kPages.most}, "per round; 0 for all of the region",
                    Need::kOptional);
    operation.count("rounds", out.rounds, {1, 1 << 24}, "how often", Need::kOptional);
    operation.time("pause", out.pause, Zero::kAllowed, "between rounds", Need::kOptional);
    operation.count("to_node", out.to_node, {0, 63}, "target node of move_pages", Need::kOptional);
    operation.finish();
    return out;
}

/// Leaves what takes part in the scenario.
template <class Entry>
void drop_disabled(std::vector<Entry>& entries) {
    entries.erase(std::remove_if(entries.begin(), entries.end(),
                                 [](const Entry& entry) { return !entry.enabled; }),
                  entries.end());
}

template <class Entry, class Read>
void read_entries(SectionReader entries, std::string_view what, std::vector<Entry>& out,
                  Read&& read) {
    for (const auto& name : entries.entries(what)) out.push_back(read(entries.section(name), name));
}

void read_inject(SectionReader inject, rmap::InjectedFault& out) {
    std::vector<std::string> names;
    for (const auto& row : rmap::kInjectedFaults) names.emplace_back(row.name);
    std::string fault(rmap::kInjectedFaults[0].name);
    inject.name("fault", fault, names, "bug of the kernel or the hardware to switch on");
    out = *rmap::injected_fault(fault);
    inject.finish();
}

}  // namespace

std::string_view name_of(OperationType type) {
    for (const auto& row : kTypes)
        if (row.value == type) return row.name;
    return {};
}

ScenarioConfig read_scenario(const ConfigNode& tree, const std::string& file,
                             EffectiveConfig& effective) {
    ScenarioConfig out;
    ReadContext context{file, effective};
    const ConfigNode::Member whole{{}, tree.position, tree};
    SectionReader root(context, &whole, {});
    read_identity(root.section("scenario"), out);
    read_entries(root.section("process"), "process", out.processes, read_process);
    read_entries(root.section("region"), "region", out.regions, read_region);
    read_entries(root.section("guest"), "guest", out.guests, read_guest);
    read_entries(root.section("dma"), "DMA stream", out.dmas, read_dma);
    drop_disabled(out.guests);
    drop_disabled(out.dmas);
    read_entries(root.section("operation"), "operation", out.operations, read_operation);
    read_inject(root.section("inject"), out.injected_fault);
    root.finish();
    return out;
}

}  // namespace mmusim::platform
