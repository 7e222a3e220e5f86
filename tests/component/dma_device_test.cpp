// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstdlib>
#include <random>

#include "rmap/sync/lock.hpp"
#include "rmap/types/pte.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/device_machine.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

using models::DmaDeviceModule;
using models::DmaResult;
using rmap::Access;
using rmap::Duration;
using rmap::Event;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::picoseconds;
using rmap::Pte;
using rmap::QiDescriptor;
using rmap::VirtAddr;

namespace {

constexpr rmap::Pasid kPasid = 0x42;
constexpr VirtAddr kBase{0x40000000};
constexpr std::uint64_t kTouched = Pte::kWritable | Pte::kAccessed | Pte::kDirty;

VirtAddr page(std::uint64_t n) { return kBase + n * rmap::kPageSize; }

void map_pages(DeviceMachine& machine, unsigned pages) {
    for (std::size_t n = 0; n < machine.options().devices.size(); ++n)
        machine.bind(n, kPasid, machine.cores().root());
    for (unsigned n = 0; n < pages; ++n)
        machine.cores().map(page(n), rmap::FrameNumber{500 + n}, kTouched, 7 + n);
}

QiDescriptor atc_invalidate(const DeviceMachine& machine, std::uint64_t n, unsigned order = 0) {
    return QiDescriptor::pasid_device_tlb(machine.options().devices[0].source, kPasid,
                                          rmap::AtsRange::encode(page(n), order));
}

/// When an ATC invalidation submitted at `start`, the first of the run, arrives at the device.
Instant arrival_of(const DeviceMachine& machine, Instant start) {
    return machine.first_descriptor(start) + machine.options().devices[0].link;
}

}  // namespace

TEST_CASE("dma device: a hit in the ATC costs its lookup and accesses overlap up to the limit",
          "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    const auto& config = machine.options().devices[0];
    std::vector<Instant> starts;
    machine.program(0, [&](DmaDeviceModule& device) {
        for (unsigned n = 0; n < 2 * config.max_in_flight; ++n) {
            CHECK(device.access(kPasid, page(0), Access::kWrite) == DmaResult::kStarted);
            starts.push_back(device.time().local_now());
        }
    });
    machine.run();
    REQUIRE(starts.size() == 2 * config.max_in_flight);
    for (unsigned n = 1; n < config.max_in_flight; ++n)
        CHECK(starts[n] == starts[n - 1] + config.atc.lookup);
    for (unsigned n = config.max_in_flight; n < starts.size(); ++n)
        CHECK(starts[n] == starts[n - config.max_in_flight] + config.transfer + config.atc.lookup);
    CHECK(machine.device(0).stats().requests == 1);
}

TEST_CASE("dma device: an access is recorded at the end of its transfer", "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 3);
    machine.device(0).label_address_space(kPasid, 99);
    Instant start;
    machine.program(0, [&](DmaDeviceModule& device) {
        device.access(kPasid, page(2) + 0x40, Access::kWrite);
        start = device.time().local_now();
    });
    machine.run();
    const auto& records = machine.accesses(machine.engine(0));
    REQUIRE(records.size() == 1);
    CHECK(records[0].time == start + machine.options().devices[0].transfer);
    CHECK(records[0].page == rmap::page_of(page(2)));
    CHECK(records[0].frame == rmap::FrameNumber{502});
    CHECK(records[0].generation == 9);
    CHECK(records[0].access == Access::kWrite);
    CHECK(records[0].mm == 99);
    // The page-table entry was the last read of the walk.
    CHECK(records[0].filled + machine.first_read() + machine.options().iommu.iotlb.fill +
              machine.options().devices[0].link + machine.options().devices[0].atc.fill ==
          start);
}

TEST_CASE("dma device: an access that starts before an invalidation arrives is waited for",
          "[component][device][time]") {
    // One tick before the arrival, at it and after it.
    for (const int tick : {-1, 0, 1}) {
        CAPTURE(tick);
        const auto text = run_in_child([&]() -> std::string {
            DeviceMachine machine;
            map_pages(machine, 1);
            const auto& config = machine.options().devices[0];
            const Instant submit = Instant{} + nanoseconds(5000);
            const Instant arrival = arrival_of(machine, submit);
            const Instant start{arrival.ps + static_cast<std::uint64_t>(tick)};
            machine.program(0, [&](DmaDeviceModule& device) {
                device.access(kPasid, page(0), Access::kWrite);
                device.time().advance_to(before(start, config.atc.lookup), Part::kUser);
                device.access(kPasid, page(0), Access::kWrite);
            });
            machine.cores().program(0, [&](models::CoreModule& core) {
                DeviceMachine::sleep_until(core, submit);
                machine.submit_and_wait(core, {atc_invalidate(machine, 0)});
            });
            machine.run();
            const auto begun = machine.events(Event::kAtcInvalidated);
            const auto done = machine.events(Event::kAtsInvalidateCompletion);
            if (begun.size() != 1 || done.size() != 1) return "no completion";
            if (begun[0].time != arrival) return "other arrival";
            const bool waited = done[0].time == start + config.transfer;
            const bool at_once = done[0].time == arrival + config.atc_invalidate;
            const bool asked_again = machine.device(0).stats().requests == 2;
            return std::string(waited    ? "waited"
                               : at_once ? "at once"
                                         : "otherwise") +
                   (asked_again ? ", asked again" : "") + ", in flight " +
                   std::to_string(done[0].arguments[4]);
        });
        CHECK(text == (tick < 0 ? "waited, in flight 0" : "at once, asked again, in flight 0"));
    }
}

TEST_CASE("dma device: an invalidation of other pages waits for nothing and drops nothing",
          "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 8);
    const Instant arrival = arrival_of(machine, Instant{} + nanoseconds(5000));
    machine.program(0, [&](DmaDeviceModule& device) {
        for (const unsigned n : {1, 3, 4}) device.access(kPasid, page(n), Access::kRead);
        DeviceMachine::sleep_until(device, before(arrival, nanoseconds(10)));
        device.access(kPasid, page(1), Access::kRead);
        device.access(kPasid, page(4), Access::kRead);
        DeviceMachine::sleep_until(device, arrival + nanoseconds(1000));
        device.access(kPasid, page(1), Access::kRead);
        device.access(kPasid, page(4), Access::kRead);
        CHECK(device.stats().requests == 3);
        device.access(kPasid, page(3), Access::kRead);
        CHECK(device.stats().requests == 4);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        machine.submit_and_wait(core, {atc_invalidate(machine, 3, 1)});  // pages 2 and 3
    });
    machine.run();
    const auto done = machine.events(Event::kAtsInvalidateCompletion);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time == arrival + machine.options().devices[0].atc_invalidate);
    CHECK(done[0].arguments[2] == page(2).value);
    CHECK(done[0].arguments[3] == page(4).value);
}

TEST_CASE("dma device: completing before the DMA is done is told by the event",
          "[component][device]") {
    DeviceMachine::Options options;
    options.fault = rmap::InjectedFault::kCompleteBeforeDma;
    DeviceMachine machine(options);
    map_pages(machine, 1);
    const Instant arrival = arrival_of(machine, Instant{} + nanoseconds(5000));
    machine.program(0, [&](DmaDeviceModule& device) {
        device.access(kPasid, page(0), Access::kRead);
        DeviceMachine::sleep_until(device, before(arrival, nanoseconds(20)));
        device.access(kPasid, page(0), Access::kRead);
        device.access(kPasid, page(0), Access::kRead);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        machine.submit_and_wait(core, {atc_invalidate(machine, 0)});
    });
    machine.run();
    const auto done = machine.events(Event::kAtsInvalidateCompletion);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time == arrival + options.devices[0].atc_invalidate);
    CHECK(done[0].arguments[4] == 2);
}

TEST_CASE("dma device: a translation on its way when an invalidation arrives is asked for again",
          "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    const auto& config = machine.options().devices[0];
    const Instant arrival = arrival_of(machine, Instant{} + nanoseconds(5000));
    machine.program(0, [&](DmaDeviceModule& device) {
        // The first of the page-table entries has been read when the invalidation arrives.
        DeviceMachine::sleep_until(
            device, before(arrival, config.link + machine.pasid_walk() + nanoseconds(150)));
        device.access(kPasid, page(0), Access::kRead);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        machine.submit_and_wait(core, {atc_invalidate(machine, 0)});
    });
    machine.run();
    CHECK(machine.device(0).stats().stale_answers == 1);
    CHECK(machine.device(0).stats().requests == 2);
    const auto done = machine.events(Event::kAtsInvalidateCompletion);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time == arrival + config.atc_invalidate);
    CHECK(machine.device(0).stats().accesses == 1);
}

TEST_CASE("dma device: after the complete sequence nothing of the old mapping is used",
          "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    Instant safe;
    std::uint64_t faults = 0;
    machine.program(0, [&](DmaDeviceModule& device) {
        while (device.time().local_now() < Instant{} + nanoseconds(12000))
            if (device.access(kPasid, page(0), Access::kWrite) == DmaResult::kFault) ++faults;
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        core.store(machine.cores().entry_of(page(0)), {}, Part::kPteAccess);
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0)});
        safe = machine.submit_and_wait(core, {atc_invalidate(machine, 0)});
    });
    machine.run();
    CHECK(faults > 0);
    const auto& accesses = machine.accesses(machine.engine(0));
    REQUIRE(accesses.size() > 20);
    CHECK(accesses.back().time < safe);
}

TEST_CASE("dma device: the ATC before the IOTLB leaves the old mapping in use",
          "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    Instant safe;
    machine.program(0, [&](DmaDeviceModule& device) {
        while (device.time().local_now() < Instant{} + nanoseconds(12000))
            device.access(kPasid, page(0), Access::kWrite);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        core.store(machine.cores().entry_of(page(0)), {}, Part::kPteAccess);
        machine.submit_and_wait(core, {atc_invalidate(machine, 0)});
        safe = machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0)});
    });
    machine.run();
    const auto& accesses = machine.accesses(machine.engine(0));
    REQUIRE(!accesses.empty());
    CHECK(accesses.back().time > safe);
}

TEST_CASE("dma device: invalidations of two devices are under way together",
          "[component][device]") {
    DeviceMachine::Options options;
    options.devices = {test_device(0x0310), test_device(0x0320)};
    options.devices[1].link = nanoseconds(150);
    DeviceMachine machine(options);
    map_pages(machine, 1);
    machine.cores().program(0, [&](models::CoreModule& core) {
        machine.submit_and_wait(core, {atc_invalidate(machine, 0),
                                       QiDescriptor::pasid_device_tlb(
                                           0x0320, kPasid, rmap::AtsRange::encode(page(0), 0))});
    });
    machine.run();
    const auto sent = machine.events(Event::kAtsInvalidateRequest);
    const auto done = machine.events(Event::kAtsInvalidateDone);
    const auto waits = machine.events(Event::kIommuWaitDone);
    REQUIRE(sent.size() == 2);
    REQUIRE(done.size() == 2);
    REQUIRE(waits.size() == 1);
    CHECK(sent[1].time < done[0].time);
    CHECK(done[1].time ==
          sent[1].time + options.devices[1].link * 2 + options.devices[1].atc_invalidate);
    CHECK(waits[0].time > done[1].time);
}

TEST_CASE("dma device: without ATS every access asks and begins at the IOMMU",
          "[component][device]") {
    DeviceMachine::Options options;
    options.devices[0].ats = false;
    DeviceMachine machine(options);
    map_pages(machine, 1);
    const auto& config = machine.options().devices[0];
    Duration second;
    Instant sent;
    machine.program(0, [&](DmaDeviceModule& device) {
        device.access(kPasid, page(0), Access::kWrite);
        const Instant asked = device.time().local_now();
        device.access(kPasid, page(0), Access::kWrite);
        second = device.time().local_now() - asked;
        sent = before(device.time().local_now(), config.link);
    });
    machine.run();
    CHECK(second == config.link * 2 + options.iommu.iotlb.lookup);
    CHECK(machine.device(0).stats().requests == 2);
    CHECK(machine.device(0).atc_stats().lookups == 0);
    const auto& records = machine.accesses(machine.engine(0));
    REQUIRE(records.size() == 2);
    CHECK(records[1].time == sent + config.transfer);
}

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
    options.iommu.iotlb.small = {8, 4};
    options.devices = {test_device(0x0310), test_device(0x0318), test_device(0x0420)};
    options.devices[2].ats = false;
    for (auto& device : options.devices) {
        device.link = ns(20, 120);
        device.transfer = ns(1, 300);
        device.atc_invalidate = ns(1, 40);
        device.max_in_flight = static_cast<unsigned>(1 + draw() % 6);
        device.atc.small = {8, 4};
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

unsigned runs(unsigned normal) {
    const char* size = std::getenv("MMUSIM_TEST_SIZE");
    return size && std::string(size) == "small" ? 3 : normal;
}

}  // namespace

TEST_CASE("dma device: devices and cores see the same at every exact quantum and creation order",
          "[component][device][time]") {
    for (std::uint64_t seed = 1; seed <= runs(25); ++seed) {
        CAPTURE(seed);
        const auto run = [&](std::optional<Duration> quantum, bool reverse) {
            return run_in_child([&] { return hammer(seed, quantum, reverse); });
        };
        const auto automatic = run(std::nullopt, false);
        CHECK(automatic.find("late 0") != std::string::npos);
        CHECK(run(std::nullopt, true) == automatic);
        CHECK(run(picoseconds(1), false) == automatic);
        CHECK(run(nanoseconds(1), true) == automatic);
        CHECK(run(picoseconds(6667), false) == automatic);
        CHECK(run(picoseconds(1777), false) == automatic);
    }
}

TEST_CASE("dma device: beyond the exact quantum lateness is counted and none means the same bytes",
          "[component][device][time]") {
    unsigned late = 0;
    for (std::uint64_t seed = 1; seed <= runs(10); ++seed) {
        CAPTURE(seed);
        const auto exact = run_in_child([&] { return hammer(seed, std::nullopt, false); });
        const auto coarse = run_in_child([&] { return hammer(seed, nanoseconds(480), false); });
        if (coarse.find(" late 0") != std::string::npos)
            CHECK(coarse == exact);
        else
            ++late;
    }
    CHECK(late > 0);
}

TEST_CASE("dma device: a lookup beyond the link that missed an invalidation is counted as late",
          "[component][device][time]") {
    DeviceMachine::Options options;
    options.quantum = options.devices[0].link * 4;
    DeviceMachine machine(options);
    map_pages(machine, 1);
    constexpr unsigned kInvalidations = 20;
    machine.program(0, [&](DmaDeviceModule& device) {
        while (device.time().local_now() < Instant{} + nanoseconds(40000))
            device.access(kPasid, page(0), Access::kRead);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        for (unsigned n = 0; n < kInvalidations; ++n)
            machine.submit_and_wait(core, {atc_invalidate(machine, 0)});
    });
    machine.run();
    const auto& late = machine.device(0).late();
    CHECK(late.count > 0);
    CHECK(late.count <= kInvalidations);
    CHECK(late.worst <= options.devices[0].link * 3);
}

}  // namespace mmusim::test
