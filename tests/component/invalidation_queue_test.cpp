// SPDX-License-Identifier: Apache-2.0
// From the store of a descriptor to the status that its submitter sees.
#include <catch2/catch.hpp>

#include "tests/component/dma_bench.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

using rmap::Event;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::QiDescriptor;

TEST_CASE("iommu: the submitter sees the status C after its store and the stages add up",
          "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    Instant seen;
    machine.cores().program(0, [&](models::CoreModule& core) {
        const auto id = core.account().begin(rmap::OperationKind::kMunmap, core.time().local_now());
        seen = machine.submit_and_wait(
            core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0),
                   QiDescriptor::pasid_device_tlb(machine.options().devices[0].source, kPasid,
                                                  rmap::AtsRange::encode(page(0), 0))});
        core.account().end(id, core.time().local_now(), rmap::Outcome::kDone);
    });
    machine.run();
    const auto& iommu = machine.options().iommu;
    const auto& device = machine.options().devices[0];
    const auto descriptors = machine.events(Event::kIommuDescriptor);
    const auto waits = machine.events(Event::kIommuWaitDone);
    const auto sent = machine.events(Event::kAtsInvalidateRequest);
    const auto done = machine.events(Event::kAtsInvalidateDone);
    REQUIRE(descriptors.size() == 3);
    REQUIRE(waits.size() == 1);
    REQUIRE(sent.size() == 1);
    REQUIRE(done.size() == 1);
    CHECK(seen == waits[0].time + machine.platform().memory.visibility());
    CHECK(done[0].time == sent[0].time + device.link + device.atc_invalidate + device.link);

    const auto& operations = machine.cores().core(0).account().finished();
    REQUIRE(operations.size() == 1);
    const auto& parts = operations[0].parts;
    CHECK(parts.sum() == operations[0].end - operations[0].begin);
    // The first two descriptors are fetched from the core's cache and decoded; the third while the
    // device is at work.
    const auto first_fetch = machine.platform().memory.latency.same_socket +
                             machine.platform().memory.latency.l1 + iommu.descriptor;
    const auto second_fetch = descriptors[1].time - (descriptors[0].time + iommu.iotlb_invalidate);
    CHECK(parts[Part::kIommuQueue] == iommu.doorbell + first_fetch + second_fetch);
    CHECK(parts[Part::kIotlb] == iommu.iotlb_invalidate);
    CHECK(parts[Part::kAtc] == done[0].time - descriptors[1].time);
    CHECK(parts[Part::kIommuWait] == seen - done[0].time);
    CHECK(descriptors[0].operation == operations[0].id);
    CHECK(waits[0].operation == operations[0].id);
}

TEST_CASE("iommu: several doorbells are executed in the order of their arrival",
          "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    Instant seen[3];
    machine.cores().program(0, [&](models::CoreModule& core) {
        rmap::Completion first(core.time());
        rmap::Completion second(core.time());
        const auto status = rmap::address_of(DeviceMachine::kStatus);
        machine.submit(core, {QiDescriptor::pasid_iotlb_all(kPasid), QiDescriptor::wait(status, 1)},
                       first);
        machine.submit(core,
                       {QiDescriptor::pasid_iotlb_all(kPasid), QiDescriptor::wait(status + 4, 2)},
                       second);
        core.time().await(first, Part::kIommuWait);
        seen[0] = core.time().local_now();
        core.time().await(second, Part::kIommuWait);
        seen[1] = core.time().local_now();
        CHECK(core.load(status, Part::kUser).value == (2ull << 32 | 1));
    });
    machine.cores().program(1, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(1000));
        seen[2] = machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_all(kPasid)});
    });
    machine.run();
    const auto waits = machine.events(Event::kIommuWaitDone);
    REQUIRE(waits.size() == 3);
    for (std::size_t n = 0; n < 3; ++n)
        CHECK(seen[n] == waits[n].time + machine.platform().memory.visibility());
    CHECK(machine.iommu().queue.stats().doorbells == 3);
}

TEST_CASE("iommu: the queue wraps at its last descriptor", "[component][iommu]") {
    DeviceMachine::Options options;
    options.iommu.queue_entries = 4;
    DeviceMachine machine(options);
    map_pages(machine, 1);
    machine.cores().program(0, [&](models::CoreModule& core) {
        for (int round = 0; round < 5; ++round)
            machine.submit_and_wait(
                core, {QiDescriptor::pasid_iotlb_all(kPasid), QiDescriptor::pasid_cache(kPasid)});
    });
    machine.run();
    std::vector<std::uint64_t> indexes;
    for (const auto& record : machine.events(Event::kIommuDescriptor))
        indexes.push_back(record.arguments[0]);
    CHECK(indexes == std::vector<std::uint64_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2});
    CHECK(machine.iommu().queue.stats().waits == 5);
}

TEST_CASE("iommu: a doorbell is written back with its last wait descriptor", "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    Instant seen;
    machine.cores().program(0, [&](models::CoreModule& core) {
        rmap::Completion write_back(core.time());
        const auto status = rmap::address_of(DeviceMachine::kStatus);
        machine.submit(core,
                       {QiDescriptor::wait(status, 1), QiDescriptor::pasid_iotlb_all(kPasid),
                        QiDescriptor::wait(status, 2)},
                       write_back);
        core.time().await(write_back, Part::kIommuWait);
        seen = core.time().local_now();
    });
    machine.run();
    const auto waits = machine.events(Event::kIommuWaitDone);
    REQUIRE(waits.size() == 2);
    CHECK(seen == waits[1].time + machine.platform().memory.visibility());
}

}  // namespace mmusim::test
