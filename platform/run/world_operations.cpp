// SPDX-License-Identifier: Apache-2.0
// What is measured: the operations of a scenario as programs of their CPUs.
#include <map>

#include "platform/run/world.hpp"

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
        programs_[cpu]->run_operation([this, in_turn = std::move(operations)](rmap::Cpu& on) {
            for (const auto& operation : in_turn) {
                operation(on);
                rendezvous_->finish_operation(on);
            }
        });
}

std::function<void(rmap::Cpu&)> World::operation(const OperationConfig& config) {
    return [this, &config, round = one_round(config)](rmap::Cpu& cpu) {
        const auto number = static_cast<unsigned>(&config - in_.scenario.operations.data());
        if (config.type != OperationType::kMunmap) rendezvous_->request_touch(cpu, number);
        for (unsigned n = 0; n < config.rounds; ++n) {
            if (config.type == OperationType::kMunmap) rendezvous_->request_touch(cpu, number);
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
    const Region& region = region_of(config.region);
    const std::uint64_t pages = config.pages ? config.pages : region.config->pages;
    rmap::Mm& mm = *processes_of(region.config->process).front()->mm;
    switch (config.type) {
        case OperationType::kReclaim: {
            rmap::ReclaimControl control;
            control.nid = rmap::NodeId{in_.platform.topology.socket_of(
                processes_of(region.config->process).front()->first_cpu)};
            control.memcg = group_of(region.config->process);
            control.from = region.config->kind == RegionKind::kAnon ? rmap::ReclaimFrom::kAnon
                                                                    : rmap::ReclaimFrom::kFile;
            control.nr_to_reclaim = pages;
            return
                [this, control](rmap::Cpu& cpu, unsigned) { kernel_.reclaim_pages(cpu, control); };
        }
        case OperationType::kMovePages: {
            std::vector<VirtAddr> addresses;
            for (std::uint64_t page = 0; page < pages; ++page)
                addresses.push_back(region.ranges.front().start + page * rmap::kPageSize);
            const auto shared = processes_of(region.config->process).size() > 1
                                    ? rmap::MoveShared::kYes
                                    : rmap::MoveShared::kNo;
            // There and back again.
            const rmap::NodeId home = in_.platform.topology.socket_of(
                processes_of(region.config->process).front()->first_cpu);
            return [this, addresses, shared, home, &mm, &config](rmap::Cpu& cpu, unsigned round) {
                kernel_.move_pages(cpu, mm, addresses, round % 2 ? home : config.to_node, shared);
            };
        }
        case OperationType::kMunmap:
            return [this, &region, &mm, pages](rmap::Cpu& cpu, unsigned round) {
                const VirtAddr start = region.ranges[round].start;
                kernel_.munmap(cpu, mm, {start, start + pages * rmap::kPageSize});
            };
    }
    return {};
}

}  // namespace mmusim::platform
