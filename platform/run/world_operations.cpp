// SPDX-License-Identifier: Apache-2.0
// What is measured: the operations of a scenario as programs of their CPUs.
#include <map>

#include "platform/run/world.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::CpuId;
using rmap::VirtAddr;

/// A CPU on which no thread of the scenario runs gets a task of its own, without the mappings.
void World::set_up_operations() {
    std::map<CpuId, std::vector<std::function<void(rmap::Cpu&)>>> by_cpu;
    for (const auto& config : in_.scenario.operations) {
        rounds_total_ += config.rounds;
        if (!running_mm_[config.cpu]) {
            rmap::Mm& mm = kernel_.create_mm(setup(config.cpu), config.name);
            flush_.switch_mm(setup(config.cpu), &mm.context);
            running_mm_[config.cpu] = &mm;
            task_name_[config.cpu] = config.name;
        }
        by_cpu[config.cpu].push_back(operation(config));
    }
    for (auto& [cpu, operations] : by_cpu)
        programs_.cores[cpu]->run_job(
            [this, in_turn = std::move(operations)](models::CoreModule&, rmap::Cpu& on) {
                for (const auto& operation : in_turn) {
                    operation(on);
                    rendezvous_.finish_operation(on.memory());
                }
            });
}

std::function<void(rmap::Cpu&)> World::operation(const OperationConfig& config) {
    return [this, &config, round = one_round(config)](rmap::Cpu& cpu) {
        const auto number = static_cast<unsigned>(&config - in_.scenario.operations.data());
        for (unsigned n = 0; n < config.rounds; ++n) {
            // What needs used pages waits for users before each round; the rest only before the
            // first.
            if (n == 0 || is_for_used_pages(config.type)) {
                const auto request = rendezvous_.request_touch(cpu.memory(), number);
                while (!rendezvous_.answered(cpu.memory(), number, request))
                    cpu.spend(Rendezvous::kPoll, rmap::Part::kUser);
            }
            round(cpu, n);
            if (end_round()) break;
            if (n + 1 < config.rounds) cpu.spend(config.pause, rmap::Part::kUser);
        }
    };
}

/// True when the user wants no more.
bool World::end_round() {
    ++rounds_done_;
    if (in_.options.on_round) in_.options.on_round(rounds_done_, rounds_total_);
    if (!in_.options.stop || !*in_.options.stop) return false;
    return stopped_ = true;
}

std::function<void(rmap::Cpu&, unsigned)> World::one_round(const OperationConfig& config) {
    const Region& region = processes_.region(config.region);
    rmap::Mm& mm = *processes_.first_of(region.config->process).mm;
    const std::uint64_t pages = config.pages ? config.pages : region.config->pages;
    switch (config.type) {
        case OperationType::kReclaim:
            return reclaim(config);
        case OperationType::kMovePages:
            return move_pages(config);
        case OperationType::kMunmap:
            return [this, &region, &mm, pages](rmap::Cpu& cpu, unsigned round) {
                const VirtAddr start = region.ranges[round].start;
                kernel_.munmap(cpu, mm, {start, start + pages * rmap::kPageSize});
            };
        case OperationType::kOomReap:
            return [this, &mm](rmap::Cpu& cpu, unsigned) { kernel_.oom_reap(cpu, mm); };
        case OperationType::kFork:
            return [this, &mm](rmap::Cpu& cpu, unsigned) {
                kernel_.exit(cpu, kernel_.fork(cpu, mm, "child"));
            };
        case OperationType::kClearRefs:
            return [this, &mm](rmap::Cpu& cpu, unsigned) {
                kernel_.clear_refs(cpu, mm, rmap::ClearRefs::kAll);
            };
        case OperationType::kFsync:
        case OperationType::kPunchHole:
            return on_file(config, *mm.find_vma(region.ranges.front().start)->vm_file);
        default:
            return on_range(config, mm,
                            {region.ranges.front().start,
                             region.ranges.front().start + pages * rmap::kPageSize});
    }
}

/// What a process does to a part of its memory.
std::function<void(rmap::Cpu&, unsigned)> World::on_range(const OperationConfig& config,
                                                          rmap::Mm& mm, rmap::VirtRange range) {
    return [this, type = config.type, &mm, range](rmap::Cpu& cpu, unsigned round) {
        switch (type) {
            case OperationType::kMadviseDontneed:
                return void(kernel_.madvise(cpu, mm, range, rmap::Madvise::kDontneed));
            case OperationType::kMadviseFree:
                return void(kernel_.madvise(cpu, mm, range, rmap::Madvise::kFree));
            case OperationType::kMprotect:
                return void(kernel_.mprotect(
                    cpu, mm, range,
                    rmap::VmFlags::kRead | (round % 2 ? rmap::VmFlags::kWrite : 0)));
            case OperationType::kMlock:
                return void(kernel_.mlock(cpu, mm, range));
            case OperationType::kMunlock:
                return void(kernel_.munlock(cpu, mm, range));
            default:
                MMUSIM_CHECK(false, "the other operations are no calls for a range");
        }
    };
}

std::function<void(rmap::Cpu&, unsigned)> World::on_file(const OperationConfig& config,
                                                         rmap::AddressSpace& file) {
    if (config.type == OperationType::kFsync)
        return [this, &file](rmap::Cpu& cpu, unsigned) { kernel_.fsync(cpu, file); };
    const std::uint64_t pages =
        config.pages ? config.pages : processes_.region(config.region).config->pages;
    return [this, &file, pages](rmap::Cpu& cpu, unsigned) {
        kernel_.fallocate_punch_hole(cpu, file, {0, pages - 1});
    };
}

std::function<void(rmap::Cpu&, unsigned)> World::reclaim(const OperationConfig& config) {
    const RegionConfig& region = *processes_.region(config.region).config;
    rmap::ReclaimControl control;
    control.nid = rmap::NodeId{
        in_.platform.topology.socket_of(processes_.first_of(region.process).first_cpu)};
    control.memcg = processes_.group_of(region.process);
    control.from =
        region.kind == RegionKind::kFile ? rmap::ReclaimFrom::kFile : rmap::ReclaimFrom::kAnon;
    control.nr_to_reclaim = config.pages ? config.pages : region.pages;
    return [this, control](rmap::Cpu& cpu, unsigned) { kernel_.reclaim_pages(cpu, control); };
}

std::function<void(rmap::Cpu&, unsigned)> World::move_pages(const OperationConfig& config) {
    const Region& region = processes_.region(config.region);
    const auto group = processes_.of(region.config->process);
    const std::uint64_t pages = config.pages ? config.pages : region.config->pages;
    std::vector<VirtAddr> addresses;
    for (std::uint64_t page = 0; page < pages; ++page)
        addresses.push_back(region.ranges.front().start + page * rmap::kPageSize);
    const auto shared = group.size() > 1 ? rmap::MoveShared::kYes : rmap::MoveShared::kNo;
    const rmap::NodeId home = in_.platform.topology.socket_of(group.front()->first_cpu);
    rmap::Mm& mm = *group.front()->mm;
    // There and back again.
    return [this, addresses, shared, home, &mm, &config](rmap::Cpu& cpu, unsigned round) {
        kernel_.move_pages(cpu, mm, addresses, round % 2 ? home : config.to_node, shared);
    };
}

}  // namespace mmusim::platform
