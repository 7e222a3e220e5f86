// SPDX-License-Identifier: Apache-2.0
// What a request of a device finds, and what finding it costs.
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
using rmap::Pte;
using rmap::VirtAddr;

TEST_CASE("iommu: a first walk reads root and context and PASID tables and four levels",
          "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    Duration first;
    machine.program(0, [&](DmaDeviceModule& device) { first = read_page(device, 0); });
    machine.run();
    const auto& iommu = machine.options().iommu;
    CHECK(table_reads(machine) == 5);  // two words of the PASID entry, which is one line
    CHECK(page_table_reads(machine) == 4);
    CHECK(first == hit_time(machine) + machine.first_read() * 4 + machine.next_read() +
                       iommu.walker.start + (iommu.walker.level + machine.first_read()) * 4 +
                       iommu.iotlb.fill);
}

TEST_CASE("iommu: a hit costs link and lookup and link", "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    Duration again;
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        again = read_page(device, 0);
    });
    machine.run();
    CHECK(again == hit_time(machine));
    CHECK(machine.iommu().iotlb_stats().hits == 1);
    CHECK(machine.iommu().stats().walks == 1);
}

TEST_CASE("iommu: the walk cache saves three reads and the PASID cache five",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 9);
    Duration second;
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        second = read_page(device, 8);  // same page table, other line of it
    });
    machine.run();
    const auto& iommu = machine.options().iommu;
    CHECK(second == hit_time(machine) + iommu.walker.start + iommu.walker.level +
                        machine.first_read() + iommu.iotlb.fill);
    CHECK(page_table_reads(machine) == 4 + 1);
    CHECK(table_reads(machine) == 5);
    CHECK(machine.iommu().walk_cache().hits() == 1);
}

TEST_CASE("iommu: without a walk cache every walk reads four levels", "[component][iommu]") {
    auto options = without_atc();
    options.iommu.walk_cache = {};
    DeviceMachine machine(options);
    map_pages(machine, 2);
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        read_page(device, 1);
    });
    machine.run();
    CHECK(page_table_reads(machine) == 8);
}

TEST_CASE("iommu: a write sets accessed and dirty bits where a read sets accessed only",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    machine.bind(0, kPasid, machine.cores().root());
    machine.cores().map(page(0), rmap::FrameNumber{500}, Pte::kWritable);
    const auto entry = machine.cores().entry_of(page(0));
    std::uint64_t after_read = 0;
    std::uint64_t after_write = 0;
    machine.program(0, [&](DmaDeviceModule& device) {
        read_page(device, 0);
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(5000));
        read_page(device, 0, Access::kWrite);  // the clean entry does not do
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(4000));
        after_read = core.load(entry, Part::kUser).value;
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(9000));
        after_write = core.load(entry, Part::kUser).value;
    });
    machine.run();
    CHECK((after_read & (Pte::kAccessed | Pte::kDirty)) == Pte::kAccessed);
    CHECK((after_write & (Pte::kAccessed | Pte::kDirty)) == (Pte::kAccessed | Pte::kDirty));
    CHECK(machine.iommu().stats().walks == 2);
}

TEST_CASE("iommu: requests beyond the walkers wait for the first idle one", "[component][iommu]") {
    DeviceMachine::Options options;
    options.iommu.walkers = 1;
    options.devices = {test_device(0x0310), test_device(0x0418)};
    DeviceMachine machine(options);
    map_pages(machine, 2);
    Instant done[2];
    for (std::size_t n = 0; n < 2; ++n)
        machine.program(n, [&, n](DmaDeviceModule& device) {
            read_page(device, n);
            done[n] = device.time().local_now();
        });
    machine.run();
    CHECK(machine.iommu().stats().queued == 1);
    // The second walk begins when the first is reported. Its device has tables of its own; the page
    // table has been read, and its line too.
    CHECK(done[1] == done[0] + machine.pasid_walk() + options.iommu.walker.start +
                         options.iommu.walker.level + machine.next_read() +
                         options.iommu.iotlb.fill);
}

namespace {

/// Two devices that the unit knows read a page, the second one `after` the first one's report.
struct SamePage {
    explicit SamePage(bool late, rmap::Duration distance, Access second = Access::kRead) {
        auto options = without_atc();
        options.devices.push_back(options.devices[0]);
        options.devices[1].source = 0x0418;
        options.iommu.walkers = 2;
        DeviceMachine machine(options);
        map_pages(machine, 9);
        machine.cores().map(page(0), rmap::FrameNumber{500}, Pte::kWritable | Pte::kAccessed);
        const auto& device = options.devices[0];
        const auto& iommu = options.iommu;
        const Instant begin = Instant{} + nanoseconds(20000);
        const auto walk =
            iommu.walker.start + iommu.walker.level + machine.first_read() + iommu.iotlb.fill;
        for (std::size_t n = 0; n < 2; ++n)
            machine.program(n, [&, n](DmaDeviceModule& d) {
                DeviceMachine::sleep_until(d, Instant{} + nanoseconds(5000 * (n + 1)));
                read_page(d, 8);
                const Instant same = begin + (late ? walk + distance : walk - distance);
                DeviceMachine::sleep_until(d, n == 0 ? begin : same);
                read_page(d, 0, n == 0 ? Access::kRead : second);
                done[n] = d.time().local_now();
            });
        machine.run();
        reported = begin + device.atc.lookup + device.link + iommu.iotlb.lookup + walk;
        back = device.link + device.atc.fill;
        walks = machine.iommu().stats().walks - 2;
        merged = machine.iommu().stats().merged;
    }
    Instant done[2], reported;
    Duration back;
    std::uint64_t walks = 0, merged = 0;
};

}  // namespace

TEST_CASE("iommu: a miss of a page that is being walked for is answered with that walk",
          "[component][iommu]") {
    const SamePage run(false, rmap::picoseconds(1));
    CHECK(run.merged == 1);
    CHECK(run.walks == 1);
    CHECK(run.done[0] == run.reported + run.back);
    CHECK(run.done[1] == run.done[0]);
}

TEST_CASE("iommu: a request after the walk's report finds the entry", "[component][iommu]") {
    const SamePage run(true, rmap::picoseconds(1));
    CHECK(run.merged == 0);
    CHECK(run.walks == 1);
    CHECK(run.done[1] == run.done[0] + rmap::picoseconds(1));
}

TEST_CASE("iommu: a write is not answered with what a read has found of a clean page",
          "[component][iommu]") {
    const SamePage run(false, rmap::picoseconds(1), Access::kWrite);
    CHECK(run.merged == 1);
    CHECK(run.walks == 2);
    CHECK(run.done[0] == run.reported + run.back);
    CHECK(run.done[1] > run.done[0]);
}

TEST_CASE("iommu: refused untranslated accesses are recorded until the registers are full",
          "[component][iommu]") {
    DeviceMachine machine(untranslated());
    map_pages(machine, 1);
    machine.cores().map(page(1), rmap::FrameNumber{501}, Pte::kAccessed);  // read-only
    machine.program(0, [&](DmaDeviceModule& device) {
        CHECK(device.access(kPasid, page(1), Access::kWrite) == DmaResult::kFault);
        CHECK_FALSE(machine.iommu().faults().overflow());
        CHECK(device.access(kPasid, page(2) + 0x123, Access::kRead) == DmaResult::kFault);
        CHECK_FALSE(machine.iommu().faults().overflow());
        CHECK(device.access(kPasid + 1, page(0), Access::kRead) == DmaResult::kFault);
        CHECK(machine.iommu().faults().overflow());
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kStarted);
    });
    machine.run();
    const auto& records = machine.iommu().faults().records();
    REQUIRE(records.size() == 2);
    CHECK(records[0].reason == models::FaultReason::kNoWritePermission);
    CHECK(records[0].access == Access::kWrite);
    CHECK(records[0].source == machine.options().devices[0].source);
    CHECK(records[1].reason == models::FaultReason::kFirstLevelNotPresent);
    CHECK(records[1].address == page(2));
    const auto faults = machine.events(Event::kIommuFault);
    REQUIRE(faults.size() == 3);
    CHECK(faults[0].time == records[0].time);
    CHECK(faults[2].arguments[3] ==
          static_cast<std::uint64_t>(models::FaultReason::kPasidNotPresent));
    CHECK(machine.events(Event::kDmaFault).size() == 3);
}

TEST_CASE("iommu: a translation request that finds nothing leaves no fault record",
          "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    machine.program(0, [&](DmaDeviceModule& device) {
        CHECK(device.access(kPasid, page(3), Access::kRead) == DmaResult::kFault);
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kStarted);
    });
    machine.run();
    CHECK(machine.events(Event::kIommuFault).empty());
    CHECK(machine.iommu().faults().records().empty());
    const auto faults = machine.events(Event::kDmaFault);
    REQUIRE(faults.size() == 1);
    CHECK(faults[0].arguments[1] == page(3).value);
    CHECK(machine.device(0).stats().faults == 1);
}

TEST_CASE("iommu: translation requests need the device TLB bit of the context entry",
          "[component][iommu]") {
    DeviceMachine machine;
    map_pages(machine, 1);
    flip(machine, table_words(machine).context, rmap::VtdTables::kDeviceTlbEnable);
    machine.program(0, [&](DmaDeviceModule& device) {
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
    });
    machine.run();
    CHECK(page_table_reads(machine) == 0);
    CHECK(machine.iommu().stats().walks == 2);
    // No device can mend that, so software learns of it.
    const auto& records = machine.iommu().faults().records();
    REQUIRE(records.size() == 2);
    CHECK(records[0].reason == models::FaultReason::kDeviceTlbDisabled);
    CHECK(machine.events(Event::kIommuFault).size() == 2);
}

TEST_CASE("iommu: what is wrong with a table is the reason of the fault", "[component][iommu]") {
    using models::FaultReason;
    using rmap::VtdTables;
    struct Row {
        rmap::PhysAddr TableWords::*word;
        std::uint64_t flipped;
        FaultReason reason;
        unsigned reads;
    };
    constexpr std::uint64_t kSecondLevelToo = 1ull << 7;  // in PGTT: nested translation
    for (const Row& row : {
             Row{&TableWords::root, VtdTables::kPresent, FaultReason::kRootNotPresent, 1},
             Row{&TableWords::context, VtdTables::kPresent, FaultReason::kContextNotPresent, 2},
             Row{&TableWords::context, VtdTables::kPasidEnable, FaultReason::kPasidDisabled, 2},
             Row{&TableWords::directory, VtdTables::kPresent, FaultReason::kDirectoryNotPresent, 3},
             Row{&TableWords::entry, VtdTables::kPresent, FaultReason::kPasidNotPresent, 4},
             Row{&TableWords::entry, VtdTables::kFirstLevelOnly, FaultReason::kPasidInvalid, 4},
             Row{&TableWords::entry, kSecondLevelToo, FaultReason::kPasidInvalid, 4},
         }) {
        const auto text = run_in_child([&] {
            DeviceMachine machine(untranslated());
            map_pages(machine, 1);
            flip(machine, table_words(machine).*row.word, row.flipped);
            std::string found;
            machine.program(0, [&](DmaDeviceModule& device) {
                const auto result = device.access(kPasid, page(0), Access::kRead);
                found = result == DmaResult::kFault ? "fault" : "access";
            });
            machine.run();
            for (const auto& record : machine.iommu().faults().records())
                found += ' ' + std::to_string(static_cast<unsigned>(record.reason));
            return found + " after " + std::to_string(table_reads(machine));
        });
        CHECK(text == "fault " + std::to_string(static_cast<unsigned>(row.reason)) + " after " +
                          std::to_string(row.reads));
    }
}

TEST_CASE("iommu: an entry in the IOTLB does not answer for a device without device TLB",
          "[component][iommu]") {
    DeviceMachine::Options options;
    options.devices = {test_device(0x0310), test_device(0x0418)};
    DeviceMachine machine(options);
    map_pages(machine, 1);
    flip(machine, table_words(machine, 1).context, rmap::VtdTables::kDeviceTlbEnable);
    machine.program(0, [&](DmaDeviceModule& device) { read_page(device, 0); });
    machine.program(1, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(5000));
        // The second time the PASID cache knows what the context entry says.
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
    });
    machine.run();
    CHECK(machine.iommu().iotlb_stats().hits == 0);
    CHECK(machine.iommu().stats().walks == 3);
}

TEST_CASE("iommu: a walker keeps no lines, so nobody has to take one from it",
          "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    const auto entry = machine.cores().entry_of(page(0));
    Duration owned;
    machine.program(0, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(2000));
        read_page(device, 0);
    });
    machine.cores().program(0, [&](models::CoreModule& core) {
        core.exchange(entry, core.load(entry, Part::kUser), Part::kUser);
        DeviceMachine::sleep_until(core, Instant{} + nanoseconds(9000));
        const Instant before = core.time().local_now();
        core.exchange(entry, {}, Part::kUser);
        owned = core.time().local_now() - before;
    });
    machine.run();
    CHECK(page_table_reads(machine) == 4);
    CHECK(owned == machine.platform().memory.latency.locked);
}

TEST_CASE("iommu: a large page is one entry for all its pages", "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    const VirtAddr large = page(512);
    auto& memory = machine.cores()->memory().backdoor();
    rmap::FrameNumber table = TestMachine::kTables;
    for (unsigned level = rmap::kPageTableLevels; level > 2; --level)
        table =
            Pte(memory.load(rmap::entry_address(table, large, level), Part::kUser).value).frame();
    machine.cores().poke(
        rmap::entry_address(table, large, 2),
        Pte::present_entry(rmap::FrameNumber{512}, kTouched | Pte::kPageSize).raw());
    machine.program(0, [&](DmaDeviceModule& device) {
        CHECK(device.access(kPasid, large + 5 * rmap::kPageSize, Access::kWrite) ==
              DmaResult::kStarted);
        CHECK(device.access(kPasid, large + 300 * rmap::kPageSize, Access::kWrite) ==
              DmaResult::kStarted);
    });
    machine.run();
    CHECK(machine.iommu().stats().walks == 1);
    const auto& accesses = machine.accesses(machine.engine(0));
    REQUIRE(accesses.size() == 2);
    CHECK(accesses[0].frame == rmap::FrameNumber{512 + 5});
    CHECK(accesses[1].frame == rmap::FrameNumber{512 + 300});
}

TEST_CASE("iommu: an entry in the IOTLB does not answer for a device without the PASID",
          "[component][iommu]") {
    DeviceMachine::Options options;
    options.devices = {test_device(0x0310), test_device(0x0418)};
    DeviceMachine machine(options);
    machine.bind(0, kPasid, machine.cores().root());
    machine.cores().map(page(0), rmap::FrameNumber{500}, kTouched);
    machine.program(0, [&](DmaDeviceModule& device) { read_page(device, 0); });
    machine.program(1, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, Instant{} + nanoseconds(5000));
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
    });
    machine.run();
    CHECK(machine.iommu().stats().walks == 2);
}

}  // namespace mmusim::test
