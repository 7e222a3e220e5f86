// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <random>

#include "rmap/sync/lock.hpp"
#include "tests/component/dma_bench.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/exact_runs.hpp"

namespace mmusim::test {

using models::DmaDeviceModule;
using rmap::Access;
using rmap::Duration;
using rmap::Event;
using rmap::nanoseconds;
using rmap::Part;
using rmap::picoseconds;
using rmap::Pte;
using rmap::QiDescriptor;

namespace {

constexpr unsigned kHammerPages = 24;

/// Devices and cores work on the same pages while two cores unmap and map them, with a machine
/// drawn from `seed`: latencies in whole nanoseconds, so that effects often fall into one tick.
std::string hammer(std::uint64_t seed, std::optional<Duration> quantum, bool reverse) {
    std::mt19937_64 draw(seed);
    const auto ns = [&](unsigned low, unsigned high) {
        return nanoseconds(low + draw() % (high - low + 1));
    };
    DeviceMachine::Options options;
    options.cores = 3;
    options.quantum = quantum;
    options.reverse_creation = reverse;
    options.iommu.walkers = static_cast<unsigned>(1 + draw() % 3);
    options.iommu.queue_entries = 16;
    options.iommu.iotlb.fill = ns(1, 9);
    options.iommu.iotlb_invalidate = ns(1, 60);
    options.iommu.doorbell = ns(20, 80);
    options.iommu.iotlb.arrays[0].geometry = {8, 4};
    options.devices = {test_device(0x0310), test_device(0x0318), test_device(0x0420)};
    options.devices[2].ats = false;
    for (auto& device : options.devices) {
        device.link = ns(20, 120);
        device.transfer = ns(1, 300);
        device.atc_invalidate = ns(1, 40);
        device.max_in_flight = static_cast<unsigned>(1 + draw() % 6);
        device.atc.arrays[0].geometry = {8, 4};
    }
    const std::uint64_t programs = draw();
    DeviceMachine machine(options);
    map_pages(machine, kHammerPages);
    for (std::size_t n = 0; n < options.devices.size(); ++n)
        machine.program(n, [n, programs](DmaDeviceModule& device) {
            std::mt19937_64 random(programs + 100 + n);
            for (int step = 0; step < 400; ++step) {
                const auto r = random();
                device.access(kPasid, page((r >> 8) % kHammerPages),
                              r % 3 ? Access::kRead : Access::kWrite);
                if (r % 7 == 0) device.time().spend(nanoseconds((r >> 32) % 200), Part::kUser);
            }
        });
    struct NoTrace final : rmap::TracePort {
        void emit(rmap::OperationId, Event, const rmap::EventArguments&) override {}
    } no_trace;
    auto costs = machine.platform().costs;
    costs.lock_handover = nanoseconds(30);
    rmap::Lock queue_lock(rmap::PhysAddr{0x50000});
    for (rmap::CpuId cpu = 0; cpu < options.cores; ++cpu)
        machine.cores().program(cpu, [&, cpu](models::CoreModule& core) {
            auto& mechanism = machine.cores()->mechanism(cpu);
            rmap::Cpu self(cpu, {core.time(), core, mechanism, mechanism, no_trace, core.account()},
                           costs);
            std::mt19937_64 random(programs + cpu);
            for (int step = 0; step < 40; ++step) {
                const auto r = random();
                const auto first = (r >> 8) % kHammerPages;
                const auto entry = machine.cores().entry_of(page(first));
                if (cpu == 2) {  // only reads what the walkers write
                    core.load(entry, Part::kUser);
                    core.time().spend(nanoseconds((r >> 32) % 300), Part::kUser);
                    continue;
                }
                const rmap::InterruptsOff off(core.time());
                queue_lock.lock(self);
                const auto old = core.exchange(entry, {}, Part::kPteAccess);
                const unsigned order = r % 3;
                machine.submit_and_wait(
                    core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(first), order)});
                std::vector<QiDescriptor> devices;
                for (std::size_t n = 0; n < 2; ++n)
                    devices.push_back(
                        QiDescriptor::pasid_device_tlb(options.devices[n].source, kPasid,
                                                       rmap::AtsRange::encode(page(first), order)));
                if (r % 11 == 0) devices.push_back(QiDescriptor::pasid_cache(kPasid));
                machine.submit_and_wait(core, devices);
                core.store(entry, {old.value & ~(Pte::kDirty | Pte::kAccessed), old.generation},
                           Part::kPteAccess);
                queue_lock.unlock(self);
            }
        });
    machine.run();

    std::uint64_t hash = 1469598103934665603ull;
    const auto add = [&](std::uint64_t value) {
        hash = (hash ^ value) * 1099511628211ull;
        hash ^= hash >> 29;
    };
    for (const auto& record : machine.all_events()) {
        add(record.time.ps);
        add(record.actor);
        add(static_cast<std::uint64_t>(record.event));
        for (const auto argument : record.arguments) add(argument);
    }
    std::size_t accesses = 0;
    std::size_t stale = 0;
    for (std::size_t n = 0; n < options.devices.size(); ++n) {
        accesses += machine.accesses(machine.engine(n)).size();
        stale += machine.device(n).stats().stale_answers;
        for (const auto& access : machine.accesses(machine.engine(n))) {
            add(access.time.ps);
            add(access.filled.ps);
            add(access.frame.value);
        }
    }
    return std::to_string(machine.all_events().size()) + " events " + std::to_string(accesses) +
           " accesses " + std::to_string(stale) + " stale " +
           std::to_string(machine.iommu().stats().discarded) + " discarded " +
           std::to_string(hash) + " late " + std::to_string(machine.late().count);
}

}  // namespace

TEST_CASE("dma device: devices and cores see the same at every exact quantum and creation order",
          "[component][device][time]") {
    bool overtaken_answers = false;
    bool discarded_walks = false;
    for (std::uint64_t seed = 1; seed <= test_size(25, 3); ++seed) {
        CAPTURE(seed);
        const auto run = [&](std::optional<Duration> quantum, bool reverse) {
            return run_in_child([&] { return hammer(seed, quantum, reverse); });
        };
        const auto automatic = run(std::nullopt, false);
        CHECK(is_exact(automatic));
        CHECK(run(std::nullopt, true) == automatic);
        CHECK(run(picoseconds(1), false) == automatic);
        CHECK(run(nanoseconds(1), true) == automatic);
        CHECK(run(picoseconds(6667), false) == automatic);
        CHECK(run(picoseconds(1777), false) == automatic);
        overtaken_answers |= automatic.find(" 0 stale") == std::string::npos;
        discarded_walks |= automatic.find(" 0 discarded") == std::string::npos;
    }
    // The races that this is about do happen.
    CHECK(overtaken_answers);
    CHECK(discarded_walks);
}

TEST_CASE("dma device: beyond the exact quantum lateness is counted and none means the same bytes",
          "[component][device][time]") {
    const auto coarse = compare_coarse(
        test_size(10, 3), [](std::uint64_t seed) { return hammer(seed, std::nullopt, false); },
        [](std::uint64_t seed) { return hammer(seed, nanoseconds(seed % 2 ? 24 : 480), false); });
    CHECK(coarse.late > 0);
    CHECK(coarse.on_time > 0);
}

}  // namespace mmusim::test
