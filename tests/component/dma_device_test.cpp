// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/component/dma_bench.hpp"
#include "tests/support/child_run.hpp"
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
using rmap::QiDescriptor;

namespace {

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

TEST_CASE("dma device: an invalidation of another PASID makes no answer stale",
          "[component][device]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    const auto& config = machine.options().devices[0];
    const Instant arrival = arrival_of(machine, Instant{} + nanoseconds(5000));
    machine.program(0, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(
            device, before(arrival, config.link + machine.pasid_walk() + nanoseconds(150)));
        device.access(kPasid, page(0), Access::kRead);
        CHECK(device.time().local_now() > arrival);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        machine.submit_and_wait(
            core, {QiDescriptor::pasid_device_tlb(config.source, kPasid + 1,
                                                  rmap::AtsRange::encode(page(0), 0))});
    });
    machine.run();
    const auto begun = machine.events(Event::kAtcInvalidated);
    REQUIRE(begun.size() == 1);
    CHECK(begun[0].time == arrival);
    CHECK(machine.device(0).stats().stale_answers == 0);
    CHECK(machine.device(0).stats().requests == 1);
}

TEST_CASE("dma device: an answer whose walk began in the walk cache is as old as its entry",
          "[component][device]") {
    DeviceMachine::Options options;
    options.iommu.walkers = 1;
    options.devices = {test_device(0x0310), test_device(0x0418)};
    DeviceMachine machine(options);
    map_pages(machine, 9);
    const rmap::VirtAddr elsewhere = page(4 * 512);
    machine.cores().map(elsewhere, rmap::FrameNumber{600}, kTouched);
    const Instant arrival = arrival_of(machine, Instant{} + nanoseconds(5000));
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        DeviceMachine::sleep_until(device, before(arrival, nanoseconds(150)));
        read_page(device, 8);  // waits for the walk of the other device
    });
    machine.program(1, [&](DmaDeviceModule& device) {
        // Its page tables are read after the arrival and before those of page 8.
        DeviceMachine::sleep_until(device, before(arrival, nanoseconds(300)));
        CHECK(device.access(kPasid, elsewhere, Access::kRead) == DmaResult::kStarted);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        machine.submit_and_wait(core, {atc_invalidate(machine, 8)});
    });
    machine.run();
    CHECK(machine.iommu().stats().queued == 1);
    CHECK(machine.iommu().walk_cache().hits() == 1);
    CHECK(machine.device(0).stats().stale_answers == 1);
    CHECK(machine.device(0).stats().requests == 3);
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
    CHECK(machine.device(0).atc_stats().lookups() == 0);
    const auto& records = machine.accesses(machine.engine(0));
    REQUIRE(records.size() == 2);
    CHECK(records[1].time == sent + config.transfer);
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
