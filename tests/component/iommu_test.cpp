// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "rmap/types/pte.hpp"
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
using rmap::Pte;
using rmap::QiDescriptor;
using rmap::VirtAddr;

namespace {

constexpr rmap::Pasid kPasid = 0x1234;
constexpr VirtAddr kBase{0x40000000};
constexpr std::uint64_t kTouched = Pte::kWritable | Pte::kAccessed | Pte::kDirty;

VirtAddr page(std::uint64_t n) { return kBase + n * rmap::kPageSize; }

/// The device keeps no translations, so that every access asks the IOMMU.
DeviceMachine::Options without_atc() {
    DeviceMachine::Options options;
    options.devices[0].atc.small = {};
    options.devices[0].atc.large = {};
    return options;
}

DeviceMachine::Options untranslated() {
    DeviceMachine::Options options;
    options.devices[0].ats = false;
    return options;
}

void map_pages(DeviceMachine& machine, unsigned pages) {
    machine.bind(0, kPasid, machine.cores().root());
    for (unsigned n = 0; n < pages; ++n)
        machine.cores().map(page(n), rmap::FrameNumber{500 + n}, kTouched, 7);
}

/// What an access costs besides walks: there, lookups and fill, and back.
Duration hit_time(const DeviceMachine& machine) {
    const auto& device = machine.options().devices[0];
    return device.atc.lookup + device.link + machine.options().iommu.iotlb.lookup + device.link +
           device.atc.fill;
}

Duration read_page(DmaDeviceModule& device, std::uint64_t n, Access access = Access::kRead) {
    const Instant asked = device.time().local_now();
    CHECK(device.access(kPasid, page(n), access) == DmaResult::kStarted);
    return device.time().local_now() - asked;
}

std::uint64_t table_reads(DeviceMachine& machine) {
    std::uint64_t reads = 0;
    for (std::size_t n = 0; n < machine.iommu().walkers(); ++n)
        reads += machine.iommu().walker(n).table_reads();
    return reads;
}
std::uint64_t page_table_reads(DeviceMachine& machine) {
    std::uint64_t reads = 0;
    for (std::size_t n = 0; n < machine.iommu().walkers(); ++n)
        reads += machine.iommu().walker(n).stats().reads;
    return reads;
}

}  // namespace

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
    machine.bind(1, kPasid, machine.cores().root());
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
    const auto root = rmap::VtdTables::root_word(rmap::address_of(DeviceMachine::kRootTable),
                                                 machine.options().devices[0].source);
    auto& memory = machine.cores()->memory().backdoor();
    const auto next = [&](rmap::PhysAddr at) {
        return rmap::PhysAddr{memory.load(at, Part::kUser).value & rmap::VtdTables::kPointer};
    };
    const auto context =
        rmap::VtdTables::context_word(next(root), machine.options().devices[0].source);
    const auto entry = rmap::VtdTables::pasid_entry(
        next(rmap::VtdTables::directory_word(next(context), kPasid)), kPasid);
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

namespace {

constexpr Instant kStart{5'000'000};

/// When an IOTLB invalidation submitted by a core at `start` takes effect, if it is the first.
Instant effect_of(const DeviceMachine& machine, Instant start) {
    return machine.first_descriptor(start) + machine.options().iommu.iotlb_invalidate;
}

}  // namespace

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
    const auto source = machine.options().devices[0].source;
    auto& memory = machine.cores()->memory().backdoor();
    const auto root =
        rmap::VtdTables::root_word(rmap::address_of(DeviceMachine::kRootTable), source);
    const rmap::PhysAddr table{memory.load(root, Part::kUser).value & rmap::VtdTables::kPointer};
    const auto context = rmap::VtdTables::context_word(table, source);
    machine.cores().poke(
        context, memory.load(context, Part::kUser).value & ~rmap::VtdTables::kDeviceTlbEnable);
    machine.program(0, [&](DmaDeviceModule& device) {
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
    });
    machine.run();
    CHECK(page_table_reads(machine) == 0);
    CHECK(machine.iommu().stats().walks == 2);
}

TEST_CASE("iommu: a large page is one entry for all its pages", "[component][iommu]") {
    DeviceMachine machine(without_atc());
    map_pages(machine, 1);
    const VirtAddr large{kBase.value + (1ull << 21)};
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
    map_pages(machine, 1);  // the first device's only
    machine.program(0, [&](DmaDeviceModule& device) { read_page(device, 0); });
    machine.program(1, [&](DmaDeviceModule& device) {
        DeviceMachine::sleep_until(device, kStart);
        CHECK(device.access(kPasid, page(0), Access::kRead) == DmaResult::kFault);
    });
    machine.run();
    CHECK(machine.iommu().stats().walks == 2);
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
