// SPDX-License-Identifier: Apache-2.0
// What an invalidation removes, and which walks and accesses it waits for.
#include <catch2/catch.hpp>
#include <string>

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

constexpr Instant kStart{5'000'000};

/// When an IOTLB invalidation submitted by a core at `start` takes effect, if it is the first.
Instant effect_of(const DeviceMachine& machine, Instant start) {
    return machine.first_descriptor(start) + machine.options().iommu.iotlb_invalidate;
}

}  // namespace

TEST_CASE("iommu: a page-selective invalidation drops exactly its naturally aligned pages",
          "[component][iommu]") {
    constexpr unsigned kPages = 16;
    DeviceMachine machine(without_atc());
    map_pages(machine, kPages);
    std::vector<bool> hit;
    machine.program(0, [&](DmaDeviceModule& device) {
        for (unsigned n = 0; n < kPages; ++n) read_page(device, n);
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(20000));
        for (unsigned n = 0; n < kPages; ++n)
            hit.push_back(read_page(device, n) == hit_time(machine));
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(15000));
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(6), 2)});
    });
    machine.run();
    for (unsigned n = 0; n < kPages; ++n) {
        CAPTURE(n);
        CHECK(hit[n] == (n < 4 || n > 7));
    }
    const auto done = machine.events(Event::kIotlbInvalidated);
    REQUIRE(done.size() == 1);
    CHECK(done[0].arguments[1] == page(4).value);
    CHECK(done[0].arguments[2] == page(8).value);
    CHECK(done[0].arguments[3] == 4);
}

TEST_CASE("iommu: a PASID-selective invalidation drops all of one PASID with its page tables",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 2);
    machine.bind(0, kPasid + 1, machine.cores().root());
    bool same = false;
    bool other = false;
    std::uint64_t reads = 0;
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        CHECK(device.access(kPasid + 1, page(0), Access::kRead) == DmaResult::kStarted);
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(8000));
        const Instant asked = device.time().local_now();
        CHECK(device.access(kPasid + 1, page(0), Access::kRead) == DmaResult::kStarted);
        other = device.time().local_now() - asked == hit_time(machine);
        const auto read_before = page_table_reads(machine);
        same = read_page(device, 0) == hit_time(machine);
        reads = page_table_reads(machine) - read_before;
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_all(kPasid)});
    });
    machine.run();
    CHECK(other);
    CHECK_FALSE(same);
    CHECK(reads == 4);
}

TEST_CASE("iommu: a PASID entry is kept until it is invalidated", "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    // Other page tables, to which the PASID entry is turned: nothing is mapped there.
    const auto entry = table_words(machine).entry;
    std::vector<DmaResult> results;
    machine.program(0, [&](DmaDeviceModule& device) {
        for (const auto at : {0, 8000, 16000, 24000}) {
            DeviceMachine::sleep_until(device, Instant{} + nanoseconds(at));
            results.push_back(device.access(kPasid, page(0), Access::kRead));
        }
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(5000));
        core.store(rmap::VtdTables::first_level_word(entry), {600 << rmap::kPageShift, 0},
                   Part::kUser);
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(12000));
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_all(kPasid)});
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(20000));
        machine.submit_and_wait(
            core, {QiDescriptor::pasid_cache(kPasid), QiDescriptor::pasid_iotlb_all(kPasid)});
    });
    machine.run();
    CHECK(results == std::vector<DmaResult>{DmaResult::kStarted, DmaResult::kStarted,
                                            DmaResult::kStarted, DmaResult::kFault});
    const auto dropped = machine.events(Event::kPasidCacheInvalidated);
    REQUIRE(dropped.size() == 1);
    CHECK(dropped[0].arguments[1] == 1);
}

TEST_CASE("iommu: an invalidation waits for the walks in flight and keeps their results out",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    Duration second;
    Instant answered;
    const auto& link = machine.options().devices[0].link;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        // The walk is on its way when the invalidation takes effect.
        DeviceMachine::sleep_until(device, before(effect_of(machine, kStart),
                                                  link + machine.pasid_walk() + nanoseconds(150)));
        read_page(device, 0);
        answered = before(device.time().local_now(), machine.options().devices[0].atc.fill + link);
        second = read_page(device, 0);
    });
    machine.run();
    const auto done = machine.events(Event::kIotlbInvalidated);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time > effect_of(machine, kStart));
    CHECK(done[0].time == answered);
    CHECK(machine.iommu().stats().discarded == 1);
    CHECK(second > hit_time(machine));
    // Nor was the page table kept: the second walk reads all levels again.
    CHECK(page_table_reads(machine) == 8);
}

TEST_CASE("iommu: who comes after an invalidation does not join a walk that it has overtaken",
          "[component][iommu]") {
    // Two devices that the unit knows. The effect lies in the first one's walk, and the second one
    // asks a tick before the effect or after it.
    const auto merged = [](bool after) {
        auto options = without_atc();
        options.devices.push_back(options.devices[0]);
        options.devices[1].source = 0x0418;
        DeviceMachine machine(options);
        map_pages(machine, 9);
        const Instant start = Instant{} + nanoseconds(15000);
        const Instant effect = effect_of(machine, start);
        const auto& device = options.devices[0];
        const auto way = device.atc.lookup + device.link + options.iommu.iotlb.lookup;
        const auto into_walk = options.iommu.walker.start + options.iommu.walker.level;
        for (std::size_t n = 0; n < 2; ++n)
            machine.program(n, [&, n](DmaDeviceModule& d) {
                DeviceMachine::sleep_until(d, Instant{} + nanoseconds(4000 * (n + 1)));
                read_page(d, 8);
                const auto tick = rmap::picoseconds(1);
                const auto at = (effect - Instant{}) - way;
                const auto asks = n == 0 ? at - into_walk : after ? at + tick : at - tick;
                DeviceMachine::sleep_until(d, Instant{} + asks);
                read_page(d, 0);
            });
        machine.cores().program(0, [&](models::CoreModule& core) {
            DeviceMachine::sleep_until(core, start);
            machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0)});
        });
        machine.run();
        return std::to_string(machine.iommu().stats().merged) + " merged, " +
               std::to_string(machine.iommu().stats().discarded) + " discarded, " +
               std::to_string(machine.iommu().stats().walks) + " walks";
    };
    CHECK(run_in_child([&] { return merged(false); }) == "1 merged, 1 discarded, 3 walks");
    CHECK(run_in_child([&] { return merged(true); }) == "0 merged, 1 discarded, 4 walks");
}

TEST_CASE("iommu: a walk of another PASID holds no invalidation up", "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    const auto& link = machine.options().devices[0].link;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid + 1, page(0), 0)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, before(effect_of(machine, kStart),
                                                  link + machine.pasid_walk() + nanoseconds(150)));
        read_page(device, 0);
    });
    machine.run();
    const auto done = machine.events(Event::kIotlbInvalidated);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time == effect_of(machine, kStart));
    CHECK(machine.iommu().stats().discarded == 0);
}

TEST_CASE("iommu: an untranslated access is drained by an invalidation", "[component][iommu]") {
    DeviceMachine machine(untranslated());
    map_pages(machine, 1);
    Instant end;
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        const auto& link = machine.options().devices[0].link;
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(5000));
        read_page(device, 0);
        end = Instant{} + nanoseconds(5000) + link + machine.options().iommu.iotlb.lookup +
              machine.options().devices[0].transfer;
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(4950));
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0)});
    });
    machine.run();
    const auto done = machine.events(Event::kIotlbInvalidated);
    REQUIRE(done.size() == 1);
    CHECK(effect_of(machine, Instant{} + nanoseconds(4950)) < end);
    CHECK(done[0].time == end);
    CHECK(machine.iommu().stats().untranslated == 2);
    const auto& accesses = machine.accesses(machine.engine(0));
    REQUIRE(accesses.size() == 2);
    CHECK(accesses[1].time == end);
}

TEST_CASE("iommu: a PASID-cache invalidation without walks takes its own time",
          "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_cache(kPasid)});
    });
    machine.run();
    const auto done = machine.events(Event::kPasidCacheInvalidated);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time ==
          machine.first_descriptor(kStart) + machine.options().iommu.pasid_cache_invalidate);
}

TEST_CASE("iommu: a PASID-cache invalidation drains untranslated accesses of the PASID",
          "[component][iommu]") {
    DeviceMachine machine(untranslated());
    map_pages(machine, 1);
    const auto& link = machine.options().devices[0].link;
    const Instant effect =
        machine.first_descriptor(kStart) + machine.options().iommu.pasid_cache_invalidate;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_cache(kPasid)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        // The second one is answered from the IOTLB, a little before the effect.
        DeviceMachine::sleep_until(
            device, before(effect, link + machine.options().iommu.iotlb.lookup + nanoseconds(2)));
        read_page(device, 0);
    });
    machine.run();
    const auto done = machine.events(Event::kPasidCacheInvalidated);
    const auto& accesses = machine.accesses(machine.engine(0));
    REQUIRE(done.size() == 1);
    REQUIRE(accesses.size() == 2);
    CHECK(machine.iommu().stats().walks == 1);
    CHECK(accesses[1].time > effect);
    CHECK(done[0].time == accesses[1].time);
}

TEST_CASE("iommu: an untranslated access whose walk is in flight is drained to its end",
          "[component][iommu]") {
    DeviceMachine machine(untranslated());
    map_pages(machine, 1);
    const auto& link = machine.options().devices[0].link;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(0), 0)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, before(effect_of(machine, kStart), link * 2));
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kStarted);
    });
    machine.run();
    const auto done = machine.events(Event::kIotlbInvalidated);
    const auto& accesses = machine.accesses(machine.engine(0));
    REQUIRE(done.size() == 1);
    REQUIRE(accesses.size() == 1);
    CHECK(done[0].time == accesses[0].time);
}

TEST_CASE("iommu: a PASID entry on its way when it is invalidated is not kept",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    const auto& iommu = machine.options().iommu;
    const Instant effect = machine.first_descriptor(kStart) + iommu.pasid_cache_invalidate;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_cache(kPasid)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(
            device, before(effect, machine.options().devices[0].link + nanoseconds(50)));
        read_page(device, 0);
        read_page(device, 0);
        read_page(device, 0);
    });
    machine.run();
    CHECK(table_reads(machine) == 2 * 5);
    const auto done = machine.events(Event::kPasidCacheInvalidated);
    REQUIRE(done.size() == 1);
    CHECK(done[0].time > effect);
}

TEST_CASE("iommu: a page table on its way when its region is invalidated is not kept",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 3);
    const auto& link = machine.options().devices[0].link;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(1), 0)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, before(effect_of(machine, kStart),
                                                  link + machine.pasid_walk() + nanoseconds(150)));
        read_page(device, 0);
        CHECK(read_page(device, 0) == hit_time(machine));  // another page of the region
        read_page(device, 2);
    });
    machine.run();
    CHECK(machine.iommu().stats().discarded == 0);
    CHECK(page_table_reads(machine) == 4 + 4);
}

TEST_CASE("iommu: a walk that began in the walk cache depends on the reads behind its entry",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 9);
    const auto& link = machine.options().devices[0].link;
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, kStart);
        machine.submit_and_wait(core, {QiDescriptor::pasid_iotlb_pages(kPasid, page(8), 0)});
    });
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        // The walk starts a little before the invalidation and reads its entry after it.
        const auto& config = machine.options();
        DeviceMachine::sleep_until(device, before(effect_of(machine, kStart),
                                                  config.devices[0].atc.lookup + link +
                                                      config.iommu.iotlb.lookup + nanoseconds(1)));
        read_page(device, 8);
    });
    machine.run();
    CHECK(page_table_reads(machine) == 4 + 1);
    CHECK(machine.iommu().stats().discarded == 1);
}

}  // namespace mmusim::test
