// SPDX-License-Identifier: Apache-2.0
#include "platform/run/guests.hpp"

#include <algorithm>

#include "platform/run/thread_seed.hpp"

namespace mmusim::platform {

using notifiers::GuestPageTables;
using rmap::GuestPhysAddr;

namespace {

constexpr GuestPhysAddr kGuestTables{0};
constexpr GuestPhysAddr kGuestMemory{1ull << 30};
constexpr std::uint64_t kTableFrames = 512;  ///< 4 KiB entries in one table
constexpr std::uint64_t kUpperTables = 8;    ///< of one VM's second stage, apart from level 1

std::uint64_t guest_table_frames(const std::vector<const Region*>& regions) {
    std::uint64_t frames = 1;
    for (const Region* region : regions)
        for (const auto& range : region->ranges)
            frames += GuestPageTables::frames_for(range.pages());
    return frames;
}

}  // namespace

std::uint64_t Guests::frames_for(const ScenarioConfig& scenario, const Processes& processes) {
    std::uint64_t frames = 0;
    for (const auto& guest : scenario.guests) {
        const auto regions = processes.regions_of(guest.process);
        const std::uint64_t tables = guest_table_frames(regions);
        std::uint64_t pages = tables;
        for (const Region* region : regions)
            for (const auto& range : region->ranges) pages += range.pages() + kTableFrames;
        frames += tables + pages / kTableFrames + 1 + kUpperTables + pages / (1 << 18);
    }
    return frames;
}

const VmConfig& Guests::vm_of(const PlatformConfig& platform, const GuestConfig& guest) {
    return *std::find_if(platform.vms.begin(), platform.vms.end(),
                         [&](const VmConfig& vm) { return vm.name == guest.vm; });
}

unsigned Guests::vcpus(const PlatformConfig& platform, const ScenarioConfig& scenario) {
    unsigned vcpus = 0;
    for (const auto& guest : scenario.guests) vcpus += vm_of(platform, guest).vcpus;
    return vcpus;
}

void Guests::set_up(const SetupContext& context, std::uint64_t first_client,
                    rmap::CallFunctionPort& calls, rmap::UserPagePort& user_pages) {
    for (const auto& config : context.scenario.guests) {
        Guest& guest = guests_.emplace_back();
        guest.config = &config;
        guest.process = &context.processes.first_of(config.process);
        notifiers::KvmConfig kvm;
        kvm.vm = static_cast<rmap::VmId>(guests_.size());
        kvm.client = first_client + guests_.size() - 1;
        kvm.mm = guest.process->mm->context.id;
        kvm.fault = context.scenario.injected_fault;
        guest.kvm = std::make_unique<notifiers::Kvm>(kvm, context.frames, calls, user_pages);
        guest.client = std::make_unique<notifiers::KvmClient>(*guest.kvm);
        set_up_memory(context, guest);
    }
}

void Guests::set_up_memory(const SetupContext& context, Guest& guest) {
    auto& memory = context.machine.memory().backdoor();
    const auto& config = *guest.config;
    const auto regions = context.processes.regions_of(config.process);
    const std::uint64_t table_frames = guest_table_frames(regions);
    const auto first_table = notifiers::allocate_frames(context.frames, table_frames);
    GuestPageTables tables(memory, kGuestTables, first_table, table_frames);
    guest.kvm->add_fixed_slot(memory, kGuestTables, first_table, table_frames);

    GuestPhysAddr next = kGuestMemory;
    for (const Region* region : regions)
        for (const auto& range : region->ranges) {
            guest.kvm->add_user_slot(memory, next, range);
            tables.map(range, next);
            next = next + range.pages() * rmap::kPageSize;
        }

    const VmConfig& vm = vm_of(context.platform, config);
    GuestProgram::Behaviour behaviour;
    behaviour.access_time = config.access;
    behaviour.halt_after = config.halted ? 1 : 0;
    for (rmap::CpuId cpu = vm.first_cpu; cpu < vm.first_cpu + vm.vcpus; ++cpu) {
        guest.kvm->create_vcpu(cpu, tables.cr3());
        guest.programs.emplace_back(
            context.machine.core(cpu), context.platform.virtualization,
            context.processes.memory_use(config, thread_seed(context.seed, cpu)), behaviour,
            context.rendezvous);
    }
}

}  // namespace mmusim::platform
