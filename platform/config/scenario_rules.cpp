// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "platform/config/nearest_name.hpp"
#include "platform/config/scenario_schema.hpp"

namespace mmusim::platform {
namespace {

constexpr unsigned kMaxBuffers = 10000;  ///< mappings that one munmap operation consumes
constexpr unsigned kMaxChildren = 1000;  ///< that one fork operation makes

class Checker {
public:
    Checker(const ScenarioConfig& scenario, const PlatformConfig& platform,
            const EffectiveConfig& effective)
        : scenario_(scenario), platform_(platform), effective_(effective) {}

    void check() {
        for (const auto& process : scenario_.processes) check_process(process);
        for (const auto& guest : scenario_.guests) check_guest(guest);
        for (const auto& dma : scenario_.dmas) check_dma(dma);
        for (const auto& region : scenario_.regions) check_region(region);
        for (const auto& operation : scenario_.operations) check_operation(operation);
        check_memory();
        if (scenario_.operations.empty())
            throw ConfigError(effective_.origin("scenario", "name"),
                              fmt::format("scenario '{}' does nothing; expected at least one "
                                          "[operation.NAME]",
                                          scenario_.name));
    }

private:
    enum class OwnerKind { kRunning, kSleeping, kVcpu };
    struct Owner {
        std::string process;
        OwnerKind kind;
    };

    static std::string_view text(OwnerKind kind) {
        switch (kind) {
            case OwnerKind::kRunning:
                return "running thread";
            case OwnerKind::kSleeping:
                return "sleeping thread";
            case OwnerKind::kVcpu:
                return "vCPU";
        }
        return {};
    }

    const Position& at(std::string_view kind, const std::string& name, std::string_view key) const {
        const std::string section = std::string(kind) + '.' + name;
        const Position& written = effective_.origin(section, key);
        // A default is nobody's mistake; the entry's own line is the next best place.
        if (!written.file.empty()) return written;
        return effective_.origin(section, kind == "process" || kind == "guest" ? "access"
                                          : kind == "region"                   ? "pages"
                                          : kind == "dma"                      ? "device"
                                                                               : "type");
    }

    /// Every CPU of a group belongs to one thread, running or lazy.
    void check_process(const ProcessConfig& process) {
        const unsigned cores = platform_.topology.cores();
        const std::uint64_t used =
            std::uint64_t{process.count} * (process.threads + process.lazy_threads);
        if (used == 0) return;
        const std::uint64_t last = process.first_cpu + used - 1;
        if (last >= cores)
            throw ConfigError(
                at("process", process.name, process.first_cpu >= cores ? "first_cpu" : "threads"),
                fmt::format("process '{}' needs CPUs {} to {}; platform '{}' has CPUs 0 to {}",
                            process.name, process.first_cpu, last, platform_.name, cores - 1));
        for (std::uint64_t i = 0; i < used; ++i) {
            const bool runs = i % (process.threads + process.lazy_threads) < process.threads;
            const auto cpu = process.first_cpu + i;
            const auto [owner, is_new] = owners_.emplace(
                cpu, Owner{process.name, runs ? OwnerKind::kRunning : OwnerKind::kSleeping});
            if (!is_new)
                throw ConfigError(
                    at("process", process.name, "first_cpu"),
                    fmt::format("processes '{}' and '{}' both have a thread on CPU {}; expected "
                                "one thread per CPU",
                                owner->second.process, process.name, cpu));
        }
    }

    /// A guest or a device uses the memory of one process and has its VM or device, named by the
    /// key, for itself.
    template <class User, class Place>
    void check_memory_user(std::string_view kind, const std::vector<User>& users, const User& user,
                           std::string_view key, std::string User::*place,
                           const std::vector<Place>& places) {
        require_name(kind, user.name, "process", user.process, names(scenario_.processes));
        const unsigned count = find(scenario_.processes, user.process)->count;
        if (count != 1)
            throw ConfigError(at(kind, user.name, "process"),
                              fmt::format("'{}.{}' uses the memory of process '{}', of which there "
                                          "are {}; expected one",
                                          kind, user.name, user.process, count));
        require_name(kind, user.name, key, user.*place, names(places));
        for (const auto& other : users)
            if (&other < &user && other.*place == user.*place)
                throw ConfigError(at(kind, user.name, key),
                                  fmt::format("'{0}.{1}' and '{0}.{2}' both use {3} '{4}'; "
                                              "expected one of them",
                                              kind, other.name, user.name, key, user.*place));
    }

    void check_guest(const GuestConfig& guest) {
        check_memory_user("guest", scenario_.guests, guest, "vm", &GuestConfig::vm, platform_.vms);
        const auto& vm = *find(platform_.vms, guest.vm);
        const unsigned cores = platform_.topology.cores();
        if (vm.first_cpu + vm.vcpus > cores)
            throw ConfigError(
                at("guest", guest.name, "vm"),
                fmt::format("guest '{}' needs CPUs {} to {} for the vCPUs of VM '{}'; "
                            "platform '{}' has CPUs 0 to {}",
                            guest.name, vm.first_cpu, vm.first_cpu + vm.vcpus - 1, vm.name,
                            platform_.name, cores - 1));
        for (unsigned cpu = vm.first_cpu; cpu < vm.first_cpu + vm.vcpus; ++cpu) {
            const auto [owner, is_new] =
                owners_.emplace(cpu, Owner{guest.process, OwnerKind::kVcpu});
            if (!is_new)
                throw ConfigError(
                    at("guest", guest.name, "vm"),
                    fmt::format("guest '{}' has a vCPU on CPU {}, where process '{}' has a {}; "
                                "expected one of them (see vm.{}.first_cpu)",
                                guest.name, cpu, owner->second.process, text(owner->second.kind),
                                vm.name));
        }
        const bool several = scenario_.operations.size() != 1;
        if (guest.halted && (several || is_for_used_pages(scenario_.operations.front().type)))
            throw ConfigError(
                at("guest", guest.name, "halted"),
                fmt::format("guest '{}' halts after its first touch; expected one "
                            "operation only, and no {}",
                            guest.name,
                            several ? "munmap" : name_of(scenario_.operations.front().type)));
    }

    void check_dma(const DmaConfig& dma) {
        check_memory_user("dma", scenario_.dmas, dma, "device", &DmaConfig::device,
                          platform_.devices);
    }

    void check_region(const RegionConfig& region) {
        require_name("region", region.name, "process", region.process, names(scenario_.processes));
        if (region.kind != RegionKind::kAnon && region.sharing == Sharing::kFork)
            throw ConfigError(at("region", region.name, "sharing"),
                              fmt::format("region '{}' maps a file, which is not forked; expected "
                                          "kind = \"anon\" with sharing = \"fork\"",
                                          region.name));
    }

    void check_operation(const OperationConfig& operation) {
        require_name("operation", operation.name, "region", operation.region,
                     names(scenario_.regions));
        const auto& region = *find(scenario_.regions, operation.region);
        if (operation.pages > region.pages)
            throw ConfigError(
                at("operation", operation.name, "pages"),
                fmt::format("operation '{}' takes {} pages per round; region '{}' has "
                            "{}",
                            operation.name, operation.pages, region.name, region.pages));
        check_cpu(operation, region);
        check_node(operation);
        check_whole(operation);
        check_kind(operation, region);
        if (operation.type == OperationType::kMunmap) check_munmap(operation);
        if (operation.type == OperationType::kMprotect) check_mprotect(operation, region);
        if (operation.type == OperationType::kFork && operation.rounds > kMaxChildren)
            throw ConfigError(at("operation", operation.name, "rounds"),
                              fmt::format("operation '{}' forks {} times; expected at most {}",
                                          operation.name, operation.rounds, kMaxChildren));
    }

    /// Some operations have no use for a number of pages.
    void check_whole(const OperationConfig& operation) {
        switch (operation.type) {
            case OperationType::kOomReap:
                return check_unused(operation, "pages",
                                    "with other types: a process is reaped as a whole");
            case OperationType::kFork:
                return check_unused(operation, "pages",
                                    "with other types: a process is copied as a whole");
            case OperationType::kClearRefs:
                return check_unused(operation, "pages",
                                    "with other types: the references of a process are cleared as "
                                    "a whole");
            case OperationType::kFsync:
                return check_unused(operation, "pages",
                                    "with other types: a file is written as a whole");
            default:
                return;
        }
    }

    void check_kind(const OperationConfig& operation, const RegionConfig& region) {
        const auto require = [&](bool holds, std::string_view does, std::string_view which,
                                 std::string_view expected) {
            if (!holds)
                throw ConfigError(
                    at("operation", operation.name, "region"),
                    fmt::format("operation '{}' {} region '{}', which {}; expected one of kind {}",
                                operation.name, does, region.name, which, expected));
        };
        if (operation.type == OperationType::kMadviseFree)
            require(region.kind == RegionKind::kAnon, "gives away", "maps a file", "\"anon\"");
        if (operation.type == OperationType::kFsync)
            require(region.kind == RegionKind::kFile, "writes back", "maps no file on a disk",
                    "\"file\"");
        if (operation.type == OperationType::kPunchHole)
            require(region.kind != RegionKind::kAnon, "punches a hole into", "maps no file",
                    "\"file\" or \"shmem\"");
    }

    /// Who writes to a page that he may only read is killed.
    void check_mprotect(const OperationConfig& operation, const RegionConfig& region) {
        const auto writes = [&](std::string_view kind, const std::string& name,
                                AccessPattern pattern, unsigned write_percent) {
            if (pattern != AccessPattern::kIdle && region.in_use && write_percent > 0)
                throw ConfigError(
                    at("operation", operation.name, "region"),
                    fmt::format("operation '{}' makes region '{}' read-only, to which {} '{}' "
                                "writes; expected a region with in_use = false, or {}.{}."
                                "write_percent = 0",
                                operation.name, region.name, kind, name, kind, name));
        };
        const auto& process = *find(scenario_.processes, region.process);
        writes("process", process.name, process.pattern, process.write_percent);
        for (const auto& guest : scenario_.guests)
            if (guest.process == region.process)
                writes("guest", guest.name, guest.pattern, guest.write_percent);
        // The other operations ask for a touch at any time.
        if (region.written && scenario_.operations.size() > 1)
            throw ConfigError(at("operation", operation.name, "region"),
                              fmt::format("operation '{}' makes region '{}' read-only, which is "
                                          "written to before each operation begins; expected "
                                          "region.{}.written = false, or no other operation",
                                          operation.name, region.name, region.name));
    }

    /// A munmap consumes one copy of its region per round.
    void check_munmap(const OperationConfig& operation) {
        if (operation.rounds > kMaxBuffers)
            throw ConfigError(at("operation", operation.name, "rounds"),
                              fmt::format("operation '{}' unmaps {} buffers; expected at most {}",
                                          operation.name, operation.rounds, kMaxBuffers));
        const auto [owner, is_new] = munmaps_.emplace(operation.region, operation.name);
        if (!is_new)
            throw ConfigError(
                at("operation", operation.name, "region"),
                fmt::format("operations '{}' and '{}' both unmap region '{}'; expected "
                            "one of them",
                            owner->second, operation.name, operation.region));
    }

    void check_cpu(const OperationConfig& operation, const RegionConfig& region) {
        const unsigned cores = platform_.topology.cores();
        if (operation.cpu >= cores)
            throw ConfigError(
                at("operation", operation.name, "cpu"),
                fmt::format("operation '{}' runs on CPU {}; platform '{}' has CPUs 0 "
                            "to {}",
                            operation.name, operation.cpu, platform_.name, cores - 1));
        const auto owner = owners_.find(operation.cpu);
        const bool is_own = owner != owners_.end() && owner->second.kind == OwnerKind::kRunning &&
                            owner->second.process == region.process;
        if (is_own) return;
        if (is_own_call(operation.type))
            throw ConfigError(at("operation", operation.name, "cpu"),
                              fmt::format("operation '{}' runs on CPU {}, where no thread of "
                                          "process '{}' runs; expected one that does, since {} "
                                          "is its own call",
                                          operation.name, operation.cpu, region.process,
                                          name_of(operation.type)));
        if (owner != owners_.end())
            throw ConfigError(at("operation", operation.name, "cpu"),
                              fmt::format("CPU {} of operation '{}' has a {} of process '{}'; "
                                          "expected a free CPU, or a running thread of '{}'",
                                          operation.cpu, operation.name, text(owner->second.kind),
                                          owner->second.process, region.process));
    }

    void check_unused(const OperationConfig& operation, std::string_view key,
                      std::string_view expected) {
        const Position& written = effective_.origin("operation." + operation.name, key);
        if (!written.file.empty())
            throw ConfigError(written, fmt::format("operation '{}' does not use '{}'; expected it "
                                                   "only {}",
                                                   operation.name, key, expected));
    }

    void check_node(const OperationConfig& operation) {
        if (operation.type != OperationType::kMovePages)
            return check_unused(operation, "to_node", "with type = \"move_pages\"");
        if (operation.to_node >= platform_.topology.sockets)
            throw ConfigError(
                at("operation", operation.name, "to_node"),
                fmt::format("operation '{}' moves pages to node {}; platform '{}' has "
                            "nodes 0 to {}",
                            operation.name, operation.to_node, platform_.name,
                            platform_.topology.sockets - 1));
    }

    void check_memory() {
        const auto& topology = platform_.topology;
        const std::uint64_t frames = topology.frames_per_node * topology.sockets;
        std::uint64_t needed = 0;
        for (const auto& region : scenario_.regions) {
            const auto& process = *find(scenario_.processes, region.process);
            const bool own =
                region.kind == RegionKind::kAnon && region.sharing == Sharing::kPrivate;
            needed += region.pages * (own ? process.count : 1) * copies(region);
            if (needed > frames)
                throw ConfigError(at("region", region.name, "pages"),
                                  fmt::format("the regions up to '{}' need {} pages; platform '{}' "
                                              "has {}",
                                              region.name, needed, platform_.name, frames));
        }
    }

    unsigned copies(const RegionConfig& region) const {
        for (const auto& operation : scenario_.operations)
            if (operation.type == OperationType::kMunmap && operation.region == region.name)
                return operation.rounds;
        return 1;
    }

    template <class Entry>
    static std::vector<std::string> names(const std::vector<Entry>& entries) {
        std::vector<std::string> result;
        for (const auto& entry : entries) result.push_back(entry.name);
        return result;
    }

    template <class Entry>
    static const Entry* find(const std::vector<Entry>& entries, const std::string& name) {
        const auto found = std::find_if(entries.begin(), entries.end(),
                                        [&name](const Entry& entry) { return entry.name == name; });
        return found == entries.end() ? nullptr : &*found;
    }

    void require_name(std::string_view kind, const std::string& entry, std::string_view key,
                      const std::string& name, const std::vector<std::string>& valid) const {
        if (std::find(valid.begin(), valid.end(), name) != valid.end()) return;
        throw ConfigError(at(kind, entry, key),
                          fmt::format("no {} is called '{}'; {}", key == "vm" ? "VM" : key, name,
                                      nearest_hint(name, valid)));
    }

    const ScenarioConfig& scenario_;
    const PlatformConfig& platform_;
    const EffectiveConfig& effective_;
    std::map<std::uint64_t, Owner> owners_;       ///< by CPU
    std::map<std::string, std::string> munmaps_;  ///< region -> operation
};

}  // namespace

void check_scenario(const ScenarioConfig& scenario, const PlatformConfig& platform,
                    const EffectiveConfig& effective) {
    Checker(scenario, platform, effective).check();
}

}  // namespace mmusim::platform
