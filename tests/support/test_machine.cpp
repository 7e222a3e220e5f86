// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_machine.hpp"

#include <utility>

#include "platform/build/simulation.hpp"
#include "rmap/types/pte.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using rmap::nanoseconds;

platform::PlatformConfig test_platform(unsigned sockets, unsigned cores_per_socket) {
    platform::PlatformConfig config;
    config.name = "test";
    config.topology.sockets = sockets;
    config.topology.cores_per_socket = cores_per_socket;
    config.topology.frames_per_node = 4096;
    for (unsigned a = 0; a < sockets; ++a) {
        config.topology.hops.emplace_back(sockets, 1);
        config.topology.hops.back()[a] = 0;
    }
    config.clock_khz = 1'000'000;
    config.mmu.tlbs = {split_tlb({8, 4}, {4, 4}, nanoseconds(1), nanoseconds(2)),
                       split_tlb({32, 4}, {8, 4}, nanoseconds(7), nanoseconds(3))};
    config.mmu.tlbs[0].name = "l1_tlb";
    config.mmu.tlbs[1].name = "l2_tlb";
    config.mmu.tlbs[1].level = 2;
    config.mmu.walker = {nanoseconds(4), nanoseconds(5)};
    config.invalidation = {nanoseconds(60), nanoseconds(90),  nanoseconds(70),
                           nanoseconds(50), nanoseconds(200), nanoseconds(110)};
    config.memory.latency = {nanoseconds(1),  nanoseconds(6),  nanoseconds(20), nanoseconds(40),
                             nanoseconds(50), nanoseconds(80), nanoseconds(8),  nanoseconds(10)};
    config.memory.cache = {64, 256};
    config.interrupt = {nanoseconds(30),  nanoseconds(25),  nanoseconds(5),
                        nanoseconds(300), nanoseconds(100), 4};
    std::uint64_t cost = 10;
    rmap::KernelCosts::visit(
        [&](const char*, rmap::Duration& d, const char*) { d = nanoseconds(cost++); },
        config.costs);
    return config;
}

namespace {

platform::Platform::Options options_of(models::AccessObserver* observer,
                                       std::vector<rmap::CpuId> creation_order) {
    platform::Platform::Options options;
    options.observer = observer;
    options.creation_order = std::move(creation_order);
    return options;
}

}  // namespace

TestMachine::TestMachine(const platform::PlatformConfig& config, models::AccessObserver* observer,
                         std::optional<rmap::Duration> quantum,
                         std::vector<rmap::CpuId> creation_order)
    : TestMachine(config, options_of(observer, std::move(creation_order)), quantum) {}

TestMachine::TestMachine(const platform::PlatformConfig& config,
                         platform::Platform::Options options,
                         std::optional<rmap::Duration> quantum) {
    for (unsigned i = 0; i < config.topology.cores(); ++i)
        software_.push_back(std::make_unique<Software>());
    for (std::size_t n = 0; n < config.devices.size(); ++n)
        devices_.push_back(std::make_unique<DeviceSoftware>());
    options.lookahead = platform::lookahead_of(config);
    options.lookahead.quantum = quantum;
    options.checks = platform::ProtocolChecks::kOn;
    platform_ = std::make_unique<platform::Platform>(
        config, options,
        platform::Platform::Software{
            [this](rmap::CpuId cpu) -> models::CoreSoftware& { return *software_[cpu]; },
            [this](std::size_t n) -> models::DeviceProgram& { return *devices_[n]; }});
}

void TestMachine::run() {
    platform::run_simulation();
    if (const auto failure = platform_->failure()) std::rethrow_exception(failure);
    platform_->settle(rmap::kNever);
}

void TestMachine::poke(rmap::PhysAddr address, std::uint64_t value, rmap::Generation generation) {
    platform_->memory().backdoor().store(address, {value, generation}, rmap::Part::kUser);
}

void TestMachine::map(rmap::VirtAddr address, rmap::FrameNumber frame, std::uint64_t flags,
                      rmap::Generation generation) {
    auto& memory = platform_->memory().backdoor();
    rmap::FrameNumber table = kTables;
    for (unsigned level = rmap::kPageTableLevels; level > 1; --level) {
        const auto at = rmap::entry_address(table, address, level);
        rmap::Pte entry(memory.load(at, rmap::Part::kUser).value);
        if (entry.none()) {
            entry = rmap::Pte::present_entry(next_table_, rmap::Pte::kWritable);
            next_table_ = next_table_ + 1;
            poke(at, entry.raw());
        }
        table = entry.frame();
    }
    poke(rmap::entry_address(table, address, 1), rmap::Pte::present_entry(frame, flags).raw(),
         generation);
}

rmap::PhysAddr TestMachine::entry_of(rmap::VirtAddr address) const {
    auto& memory = platform_->memory().backdoor();
    rmap::FrameNumber table = kTables;
    for (unsigned level = rmap::kPageTableLevels; level > 1; --level)
        table =
            rmap::Pte(
                memory.load(rmap::entry_address(table, address, level), rmap::Part::kUser).value)
                .frame();
    return rmap::entry_address(table, address, 1);
}

}  // namespace mmusim::test
