// SPDX-License-Identifier: Apache-2.0
#include "tests/support/hammer.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <sstream>

#include "tests/support/child_run.hpp"
#include "tests/support/test_machine.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using rmap::Duration;
using rmap::nanoseconds;

namespace {

class Hash {
public:
    void add(std::uint64_t value) {
        hash_ = (hash_ ^ value) * 1099511628211ull;
        hash_ ^= hash_ >> 29;
    }
    std::uint64_t value() const { return hash_; }

private:
    std::uint64_t hash_ = 1469598103934665603ull;
};

class LogHash final : public models::EventSink {
public:
    void on_record(const rmap::EventRecord& record) override {
        ++records_;
        hash_.add(record.time.ps);
        hash_.add(record.actor);
        hash_.add(record.operation);
        hash_.add(static_cast<std::uint64_t>(record.event));
        for (const auto argument : record.arguments) hash_.add(argument);
    }
    std::string text() const {
        return std::to_string(records_) + " records " + std::to_string(hash_.value());
    }

private:
    Hash hash_;
    std::uint64_t records_ = 0;
};

class AccessHash final : public models::AccessObserver {
public:
    void judge(rmap::ActorId agent, const models::AccessBatch& uses) override {
        auto& hash = cores_[agent];
        uses.for_each([&](const models::AccessRecord& use) {
            hash.add(use.time.ps);
            hash.add(use.frame.value << 8 | use.generation);
            hash.add(use.filled.ps);
        });
    }
    std::string text() const {
        std::string result;
        for (const auto& [core, hash] : cores_)
            result += " core" + std::to_string(core) + " " + std::to_string(hash.value());
        return result;
    }

private:
    std::map<rmap::ActorId, Hash> cores_;
};

std::string text_of(const platform::RunResult& result) {
    std::ostringstream text;
    text << result.simulated.ps;
    for (const auto& operation : result.operations) {
        text << ' ' << rmap::name(operation.kind) << ' ' << operation.latency_ps.size();
        Hash hash;
        for (const auto ps : operation.latency_ps) hash.add(ps);
        for (const auto part : operation.parts.by_part) hash.add(part.ps);
        text << ' ' << hash.value();
    }
    for (const auto& [name, count] : result.counters) text << ' ' << name << ' ' << count;
    for (const auto& tlb : result.tlbs) text << ' ' << tlb.hits << ' ' << tlb.invalidated;
    text << " walks " << result.walks << " checked " << result.oracle.checked;
    for (const auto& violation : result.oracle.violations)
        text << ' ' << violation.rule << violation.time.ps << violation.agent;
    return text.str();
}

platform::ProcessConfig threads(std::string name, unsigned count, unsigned first_cpu,
                                unsigned write_percent) {
    platform::ProcessConfig process;
    process.name = std::move(name);
    process.count = count;
    process.first_cpu = first_cpu;
    process.write_percent = write_percent;
    process.access = nanoseconds(1);
    return process;
}

platform::RegionConfig region(std::string name, std::string process, std::uint64_t pages) {
    platform::RegionConfig config;
    config.name = std::move(name);
    config.process = std::move(process);
    config.pages = pages;
    return config;
}

platform::OperationConfig operation(platform::OperationType type, std::string name, std::string on,
                                    unsigned cpu, unsigned rounds) {
    platform::OperationConfig config;
    config.type = type;
    config.name = std::move(name);
    config.region = std::move(on);
    config.cpu = cpu;
    config.rounds = rounds;
    config.pause = nanoseconds(300);
    return config;
}

}  // namespace

Hammer small_hammer(unsigned cores, unsigned initiators) {
    Hammer hammer;
    hammer.platform = test_platform(2, (cores + 1) / 2);
    hammer.platform.topology.frames_per_node = 1 << 14;
    hammer.platform.costs.lock_handover = nanoseconds(30);
    hammer.platform.policy.swap_cluster_max = 8;
    hammer.platform.mmu.tlbs[1].arrays[0].geometry = {
        128, 4};  // stale entries live long enough to be used
    hammer.platform.policy.swap_slots = 4096;
    auto& scenario = hammer.scenario;
    scenario.processes.push_back(threads("main", 1, initiators, 30));
    scenario.processes.back().threads = cores - initiators;
    scenario.processes.back().watched_by = platform::WatchedBy::kRecorder;
    scenario.regions.push_back(region("heap", "main", 48));
    scenario.regions.push_back(region("cold", "main", 64));  // what reclaim succeeds with
    scenario.regions.back().in_use = false;
    for (unsigned i = 0; i < initiators; ++i) {
        const bool moves = i % 2 == 1;
        scenario.operations.push_back(operation(
            moves ? platform::OperationType::kMovePages : platform::OperationType::kReclaim,
            "op" + std::to_string(i), "heap", i, moves ? 2 : 4));
        // Away from the node on which the threads have put the pages.
        scenario.operations.back().to_node = 1 - hammer.platform.topology.socket_of(initiators);
    }
    return hammer;
}

void add_guest(Hammer& hammer, unsigned vcpus) {
    auto& main = hammer.scenario.processes[0];
    main.threads -= vcpus;
    platform::VmConfig vm;
    vm.name = "vm";
    vm.vcpus = vcpus;
    vm.first_cpu = main.first_cpu + main.threads;
    hammer.platform.vms.push_back(vm);
    hammer.platform.virtualization = {nanoseconds(70), nanoseconds(90)};
    platform::GuestConfig guest;
    guest.name = "guest";
    guest.vm = vm.name;
    guest.process = main.name;
    guest.write_percent = main.write_percent;
    guest.access = main.access;
    hammer.scenario.guests.push_back(guest);
}

void add_device(Hammer& hammer) {
    models::IommuConfig iommu;
    iommu.iotlb = split_tlb({16, 4}, {4, 4}, nanoseconds(3), nanoseconds(2));
    iommu.walk_cache = {8, 4};
    iommu.pasid_cache = {4, 4};
    iommu.walker = {nanoseconds(4), nanoseconds(5)};
    iommu.walkers = 2;
    iommu.queue_entries = 16;
    iommu.doorbell_write = nanoseconds(15);
    iommu.doorbell = hammer.platform.memory.visibility() + nanoseconds(11);
    iommu.descriptor = nanoseconds(6);
    iommu.iotlb_invalidate = nanoseconds(20);
    iommu.pasid_cache_invalidate = nanoseconds(10);
    hammer.platform.iommu = iommu;

    models::DmaDeviceConfig device;
    device.name = "dma";
    device.source = 0x100;
    device.atc = split_tlb({16, 4}, {4, 4}, nanoseconds(2), nanoseconds(1));
    device.max_in_flight = 4;
    device.link = hammer.platform.memory.visibility() + nanoseconds(20);
    device.atc_invalidate = nanoseconds(8);
    device.transfer = nanoseconds(400);
    hammer.platform.devices.push_back(device);

    platform::DmaConfig dma;
    dma.name = "stream";
    dma.device = device.name;
    dma.process = hammer.scenario.processes[0].name;
    dma.write_percent = 30;
    dma.gap = nanoseconds(25);
    dma.fault_pause = nanoseconds(300);
    hammer.scenario.dmas.push_back(dma);
}

Hammer random_hammer(std::uint64_t seed) {
    std::mt19937_64 draw(seed);
    const auto number = [&](std::uint64_t low, std::uint64_t high) {
        return low + draw() % (high - low + 1);
    };
    const auto ns = [&](std::uint64_t low, std::uint64_t high) {
        return nanoseconds(number(low, high));
    };
    Hammer hammer =
        small_hammer(static_cast<unsigned>(2 * number(2, 4)), static_cast<unsigned>(number(1, 3)));
    auto& platform = hammer.platform;
    auto& memory = platform.memory.latency;
    memory.same_socket = nanoseconds(2 * number(5, 40));
    memory.hop = ns(0, 60);
    memory.dram = memory.same_socket + ns(0, 60);
    memory.llc = ns(5, 40);
    memory.locked = ns(1, 10);
    memory.service = ns(1, 20);
    platform.mmu.tlbs[0].lookup = ns(1, 2);
    platform.mmu.walker.level = ns(1, 8);
    platform.interrupt.delivery = platform.memory.visibility() + ns(0, 400);
    platform.interrupt.to_fabric = ns(5, 40);
    platform.interrupt.slot = ns(1, 12);
    platform.interrupt.write = ns(5, 100);
    platform.invalidation.invlpg = ns(5, 100);
    rmap::KernelCosts::visit([&](const char*, Duration& cost, const char*) { cost = ns(5, 80); },
                             platform.costs);
    platform.costs.lock_handover = platform.memory.visibility() + ns(0, 60);
    platform.costs.disk_write = ns(5, 20000);
    platform.policy.swap_device = number(0, 1) ? rmap::SwapDevice::kZram : rmap::SwapDevice::kDisk;
    platform.policy.swap_cluster_max = static_cast<unsigned>(number(1, 40));
    platform.policy.pcid = number(0, 1) == 1;
    auto& scenario = hammer.scenario;
    scenario.processes[0].write_percent = static_cast<unsigned>(number(0, 100));
    scenario.processes[0].access = ns(1, 6);
    scenario.regions[0].pages = number(4, 64);
    scenario.regions[0].written = number(0, 3) > 0;
    scenario.regions[0].young = number(0, 1) == 1;
    // One process with several threads; or several, which map a file or share pages by fork.
    const auto sharing = number(0, 3);
    if (sharing < 2) {
        scenario.processes[0].count = scenario.processes[0].threads;
        scenario.processes[0].threads = 1;
        if (sharing == 0)
            scenario.regions[0].kind =
                number(0, 1) ? platform::RegionKind::kFile : platform::RegionKind::kShmem;
        if (sharing == 1) scenario.regions[0].sharing = platform::Sharing::kFork;
        if (number(0, 1)) scenario.regions[0].written = false;
    } else if (number(0, 1)) {
        scenario.regions.push_back(region("buffer", "main", number(1, 40)));
        scenario.operations.push_back(operation(platform::OperationType::kMunmap, "unmap", "buffer",
                                                scenario.processes[0].first_cpu,
                                                static_cast<unsigned>(number(1, 4))));
    }
    // A second process of another speed, on CPUs of its own, with an operation of its own.
    if (scenario.processes[0].count == 1 && scenario.processes[0].threads > 3 && number(0, 1)) {
        auto& main = scenario.processes[0];
        --main.threads;
        auto slow = threads("slow", 1, main.first_cpu + main.threads, main.write_percent);
        if (number(0, 1)) {
            --main.threads;
            main.lazy_threads = 1;
        }
        slow.access = ns(50, 400);
        scenario.processes.push_back(std::move(slow));
        scenario.regions.push_back(region("own", "slow", number(1, 30)));
        scenario.operations[0].region = "own";
    }
    if (scenario.processes[0].count == 1 && scenario.processes[0].threads > 1 && number(0, 1)) {
        add_guest(hammer, static_cast<unsigned>(number(1, scenario.processes[0].threads - 1)));
        platform.virtualization = {ns(20, 300), ns(20, 300)};
    }
    if (scenario.processes[0].count == 1 && number(0, 1)) {
        add_device(hammer);
        auto& device = platform.devices[0];
        device.ats = number(0, 3) > 0;
        device.link = platform.memory.visibility() + ns(0, 200);
        device.transfer = ns(20, 900);
        device.atc_invalidate = ns(1, 40);
        device.max_in_flight = static_cast<unsigned>(number(1, 6));
        platform.iommu->walkers = static_cast<unsigned>(number(1, 3));
        platform.iommu->doorbell = platform.memory.visibility() + ns(0, 100);
        platform.iommu->iotlb_invalidate = ns(1, 60);
        scenario.dmas[0].gap = ns(5, 80);
    }
    if (number(0, 3) == 0)
        scenario.injected_fault =
            rmap::kInjectedFaults[number(1, std::size(rmap::kInjectedFaults) - 1)].fault;
    return hammer;
}

namespace {

std::vector<rmap::CpuId> creation_order(unsigned kind, unsigned cores) {
    std::vector<rmap::CpuId> order(cores);
    for (unsigned i = 0; i < cores; ++i) order[i] = i;
    if (kind == 1) std::reverse(order.begin(), order.end());
    if (kind == 2) std::shuffle(order.begin(), order.end(), std::mt19937_64(17));
    return order;
}

std::string simulate(const Hammer& hammer, const HammerOptions& options) {
#ifdef MMUSIM_BREAKABLE_TIME_RULES
    rmap::break_rule(options.broken);
#endif
    LogHash log;
    AccessHash accesses;
    platform::RunOptions run;
    run.quantum = options.quantum;
    run.event_log = options.event_log;
    platform::RunProbes probes;
    probes.accesses = &accesses;
    probes.events = &log;
    probes.creation_order =
        creation_order(options.creation_order, hammer.platform.topology.cores());
    probes.devices_first = options.creation_order == 1;
    const auto result = platform::run_platform(hammer.platform, hammer.scenario, run, probes);
    std::uint64_t unmaps = 0;
    for (const auto& operation : result.operations)
        if (operation.kind == rmap::OperationKind::kUnmap) unmaps = operation.latency_ps.size();
    std::ostringstream text;
    text << result.quantum.late_effects << ' ' << result.oracle.violations_found << ' '
         << result.counters.at("user_accesses") << ' ' << result.quantum.switches << ' ' << unmaps
         << ' ' << result.counters.at("guest_accesses") << ' ' << result.counters.at("dma_accesses")
         << ' ' << log.text() << accesses.text() << " result " << text_of(result);
    return text.str();
}

}  // namespace

HammerRun run_hammer(const Hammer& hammer, const HammerOptions& options) {
    const std::string text = run_in_child([&] { return simulate(hammer, options); });
    HammerRun run;
    if (text.rfind("failed", 0) == 0) {
        run.failure = text;
        run.same = text;
        return run;
    }
    std::istringstream in(text);
    in >> run.late >> run.violations >> run.accesses >> run.switches >> run.unmaps >>
        run.guest_accesses >> run.dma_accesses;
    std::getline(in, run.same);
    return run;
}

}  // namespace mmusim::test
