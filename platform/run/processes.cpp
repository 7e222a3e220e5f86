// SPDX-License-Identifier: Apache-2.0
#include "platform/run/processes.hpp"

#include <algorithm>
#include <map>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

constexpr VirtAddr kFirstRegion{0x100000000000};
constexpr std::uint64_t kRegionStride = 1ull << 36;
constexpr std::uint64_t kTableSpan = 1ull << 21;  ///< ranges that share no page-table page

/// A file is mapped by every process for itself.
Sharing sharing_of(const RegionConfig& region) {
    return region.kind == RegionKind::kAnon ? region.sharing : Sharing::kPrivate;
}

rmap::AddressSpace& create_file(const Region& region, rmap::Kernel& kernel) {
    const std::uint64_t pages = region.config->pages * region.ranges.size();
    return region.config->kind == RegionKind::kShmem
               ? kernel.create_shmem(region.config->name, pages)
               : kernel.create_file(region.config->name, pages);
}

}  // namespace

void Processes::lay_out() {
    VirtAddr start = kFirstRegion;
    for (const auto& config : scenario_.regions) {
        Region region;
        region.config = &config;
        for (const auto& operation : scenario_.operations)
            if (operation.type == OperationType::kMunmap && operation.region == config.name)
                region.munmap = &operation;
        const std::uint64_t bytes = config.pages * rmap::kPageSize;
        // A gap follows, so that the ranges stay mappings of their own.
        const std::uint64_t span = (bytes / kTableSpan + 1) * kTableSpan;
        const unsigned copies = region.munmap ? region.munmap->rounds : 1;
        for (unsigned copy = 0; copy < copies; ++copy) {
            const VirtAddr at = start + copy * span;
            region.ranges.push_back({at, at + bytes});
        }
        regions_.push_back(region);
        start = start + kRegionStride;
    }
}

std::uint64_t Processes::pages() const {
    std::uint64_t pages = 0;
    for (const auto& region : regions_) {
        std::uint64_t copies = region.ranges.size();
        for (const auto& process : scenario_.processes)
            if (process.name == region.config->process &&
                region.config->kind == RegionKind::kAnon &&
                region.config->sharing == Sharing::kPrivate)
                copies *= process.count;
        pages += region.config->pages * copies;
    }
    return pages;
}

/// Of the n-th process of a group.
rmap::CpuId Processes::first_cpu(const ProcessConfig& config, unsigned n) const {
    return std::min(config.first_cpu + n * (config.threads + config.lazy_threads),
                    topology_.cores() - 1);
}

std::uint64_t Processes::slab_lines() const {
    std::map<rmap::CpuId, std::uint64_t> lines;
    std::uint64_t most = 0;
    for (const auto& config : scenario_.processes) {
        std::uint64_t of_process = rmap::Mm::kLines;
        for (const Region* region : regions_of(config.name))
            of_process += 2 * region->ranges.size();
        for (unsigned n = 0; n < config.count; ++n)
            most = std::max(most, lines[first_cpu(config, n)] += of_process);
        // Children come from where they are made. Nothing of an mm is used again.
        for (const auto& operation : scenario_.operations)
            if (operation.type == OperationType::kFork &&
                region(operation.region).config->process == config.name)
                most = std::max(most, lines[operation.cpu] += operation.rounds * of_process);
    }
    return most;
}

std::uint64_t Processes::children() const {
    std::uint64_t children = 0;
    for (const auto& operation : scenario_.operations)
        if (operation.type == OperationType::kFork) children += operation.rounds;
    return children;
}

void Processes::set_up(rmap::Kernel& kernel, const SetupCpuOf& setup) {
    for (const auto& config : scenario_.processes) set_up_group(config, kernel, setup);
}

/// Processes of a group in turn. What they share by fork is mapped by the first of them, before it
/// has children.
void Processes::set_up_group(const ProcessConfig& config, rmap::Kernel& kernel,
                             const SetupCpuOf& setup) {
    std::map<std::string, rmap::AddressSpace*> files;
    const auto map_regions = [&](Sharing sharing, Process& process) {
        for (const Region* region : regions_of(config.name)) {
            if (sharing_of(*region->config) != sharing) continue;
            auto*& file = files[region->config->name];
            if (region->config->kind != RegionKind::kAnon && !file)
                file = &create_file(*region, kernel);
            map_region(*region, process, file, kernel, setup(process.first_cpu));
        }
    };
    const bool forks = std::any_of(regions_.begin(), regions_.end(), [&](const Region& r) {
        return r.config->process == config.name && sharing_of(*r.config) == Sharing::kFork;
    });
    Process* parent = nullptr;
    for (unsigned n = 0; n < config.count; ++n) {
        Process& process = processes_.emplace_back();
        process.config = &config;
        process.first_cpu = first_cpu(config, n);
        const std::string name = config.count == 1 ? config.name : config.name + std::to_string(n);
        rmap::Cpu& cpu = setup(process.first_cpu);
        process.mm = parent && forks ? &kernel.fork(cpu, *parent->mm, name)
                                     : &kernel.create_mm(cpu, name, group_of(config.name));
        if (parent) continue;
        parent = &process;
        map_regions(Sharing::kFork, process);
    }
    for (Process* process : of(config.name)) map_regions(Sharing::kPrivate, *process);
}

void Processes::map_region(const Region& region, Process& process, rmap::AddressSpace* file,
                           rmap::Kernel& kernel, rmap::Cpu& cpu) {
    const RegionConfig& config = *region.config;
    rmap::Populate how;
    how.access = config.written ? rmap::Access::kWrite : rmap::Access::kRead;
    how.accessed = config.young ? rmap::AccessedBits::kYoung : rmap::AccessedBits::kCleared;
    how.lru = config.active ? rmap::LruPlacement::kActive : rmap::LruPlacement::kInactive;
    std::uint64_t pgoff = 0;
    for (const VirtRange& range : region.ranges) {
        if (file)
            kernel.mmap_file(cpu, *process.mm, range, *file, pgoff);
        else
            kernel.mmap_anon(cpu, *process.mm, range);
        kernel.populate(cpu, *process.mm, range, how);
        pgoff += config.pages;
    }
}

std::vector<Process*> Processes::of(const std::string& name) {
    std::vector<Process*> found;
    for (auto& process : processes_)
        if (process.config->name == name) found.push_back(&process);
    return found;
}

const Region& Processes::region(const std::string& name) const {
    const auto found = std::find_if(regions_.begin(), regions_.end(),
                                    [&](const Region& r) { return r.config->name == name; });
    MMUSIM_CHECK(found != regions_.end(), "an operation names an existing region");
    return *found;
}

std::vector<const Region*> Processes::regions_of(const std::string& process) const {
    std::vector<const Region*> found;
    for (const auto& region : regions_)
        if (region.config->process == process) found.push_back(&region);
    return found;
}

unsigned Processes::group_of(const std::string& process) const {
    const auto& all = scenario_.processes;
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const ProcessConfig& p) { return p.name == process; });
    return static_cast<unsigned>(found - all.begin()) + 1;
}

MemoryUse Processes::memory_use(const std::string& process, AccessPattern pattern,
                                unsigned write_percent, std::uint64_t seed) const {
    std::vector<VirtRange> accessed;
    std::vector<const Region*> touched;
    for (const Region* region : regions_of(process)) {
        if (pattern != AccessPattern::kIdle) touched.push_back(region);
        if (region->config->in_use && !region->munmap) accessed.push_back(region->ranges.front());
    }
    // The n-th request of a munmap is for its n-th buffer. The first one of each operation is for
    // all the rest, and the later ones for what the operation needs again.
    const auto touches = [touched, &operations = scenario_.operations](unsigned operation,
                                                                       std::uint64_t request) {
        std::vector<Touch> result;
        for (const Region* region : touched) {
            const bool again = operations[operation].region == region->config->name;
            if (region->munmap ? region->munmap != &operations[operation] : request > 1 && !again)
                continue;
            const auto access =
                region->config->written ? rmap::Access::kWrite : rmap::Access::kRead;
            result.push_back({region->ranges[region->munmap ? request - 1 : 0], access,
                              region->munmap != nullptr});
        }
        return result;
    };
    return {AccessStream(std::move(accessed), pattern, write_percent, seed), touches, 0, false};
}

}  // namespace mmusim::platform
