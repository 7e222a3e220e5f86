// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/intel_svm/svm_client.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "notifiers/notifier_chain.hpp"
#include "rmap/types/check.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::PlainMachine;
using Lines = std::vector<std::string>;

namespace {

constexpr MmId kMm = 2;
constexpr Pasid kPasid = 0x41;
constexpr FrameNumber kPgd{0x700};
constexpr VtdDevice kAtsDevice{0x6a01, true};
constexpr VtdDevice kPlainDevice{0x00f8, false};

struct Bench {
    explicit Bench(InjectedFault fault = InjectedFault::kNone) : client(config(fault), qi) {
        machine.iommu().set_queue(qi.queue(), qi.queue_bytes());
        machine.iommu().on_execute = [this](const QiDescriptor& descriptor) {
            if (descriptor.type() != QiType::kInvalidationWait) invalidated.push_back(descriptor);
        };
    }
    static SvmClient::Config config(InjectedFault fault) {
        SvmClient::Config result;
        result.id = 7;
        result.mm = kMm;
        result.pgd = kPgd;
        result.pasid = kPasid;
        result.fault = fault;
        return result;
    }
    void bind(const VtdDevice& device) {
        client.bind_device(cpu, tables, device);
        machine.trace().clear();
    }
    void invalidate(std::uint64_t first, std::uint64_t pages) {
        invalidated.clear();
        const VirtAddr start{first * kPageSize};
        client.invalidate_range(cpu, kMm, {start, start + pages * kPageSize});
    }
    std::uint64_t word(PhysAddr at) { return machine.memory()[at].value; }

    PlainMachine machine{1};
    Cpu& cpu = machine.cpu(0);
    QueuedInvalidation qi{{}, machine};
    VtdTableBuilder tables{machine};
    SvmClient client;
    std::vector<QiDescriptor> invalidated;  ///< waits left out
};

VirtRange iotlb_range(const QiDescriptor& descriptor) {
    CHECK(descriptor.type() == QiType::kPasidIotlb);
    CHECK(descriptor.granularity() == QiDescriptor::Granularity::kPages);
    return aligned_pages(descriptor.address(), descriptor.address_mask());
}

VirtRange pages(std::uint64_t first, std::uint64_t last) {
    return {address_of(PageNumber{first}), address_of(PageNumber{last + 1})};
}

}  // namespace

TEST_CASE("intel svm: the IOTLB is done before the device TLB is asked", "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    bench.invalidate(1, 1);
    const std::string where = " client=7 mm=2 start=0x1000 end=0x2000";
    const std::string what = " start=0x1000 end=0x2000";
    CHECK(bench.machine.trace().lines({"client", "mm", "sequence", "type", "start", "end"}) ==
          Lines{"client_invalidate" + where, "qi_submit_sync sequence=1 type=6" + what,
                "iqt_write sequence=1", "qi_submit_sync_ret sequence=1",
                "qi_submit_sync sequence=2 type=8" + what, "iqt_write sequence=2",
                "qi_submit_sync_ret sequence=2", "client_invalidate_ret" + where});
    // Each of them is awaited: the second tail write comes after the first answer.
    const auto& writes = bench.machine.iommu().tail_writes;
    const auto& plain = bench.machine.plain_costs();
    REQUIRE(writes.size() == 2);
    CHECK(writes[1].at - writes[0].at >
          plain.iommu_queue + plain.iommu_invalidate + plain.iommu_write_back);
    const PartTimes& charged = bench.machine.time(0).charged();
    CHECK(charged[Part::kIotlb] == plain.iommu_invalidate);
    CHECK(charged[Part::kAtc] == plain.iommu_invalidate);
    CHECK(charged[Part::kIommuQueue] == (plain.iommu_queue - plain.memory_access) * 2);
}

TEST_CASE("intel svm: each device in turn and device TLBs only where there are some",
          "[unit][notifiers]") {
    Bench bench;
    bench.bind(kPlainDevice);
    bench.bind(kAtsDevice);
    bench.invalidate(1, 1);
    REQUIRE(bench.invalidated.size() == 3);
    CHECK(bench.invalidated[0].type() == QiType::kPasidIotlb);
    CHECK(bench.invalidated[1].type() == QiType::kPasidIotlb);
    CHECK(bench.invalidated[2].type() == QiType::kPasidDeviceTlb);
    CHECK(bench.invalidated[2].device() == kAtsDevice.source);
    for (const auto& descriptor : bench.invalidated) CHECK(descriptor.pasid() == kPasid);
}

TEST_CASE("intel svm: ranges become powers of two", "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    struct Case {
        std::uint64_t first, pages;
        unsigned address_mask;
        VirtRange device_tlb;
    };
    for (const Case& c :
         {Case{8, 1, 0, pages(8, 8)}, Case{8, 2, 1, pages(8, 9)}, Case{8, 3, 2, pages(8, 11)},
          Case{8, 4, 2, pages(8, 11)}, Case{8, 5, 3, pages(8, 15)}, Case{8, 8, 3, pages(8, 15)},
          Case{7, 1, 0, pages(7, 7)}, Case{7, 2, 1, pages(0, 15)}, Case{6, 4, 2, pages(0, 15)},
          Case{9, 3, 2, pages(8, 11)}}) {
        CAPTURE(c.first, c.pages);
        bench.invalidate(c.first, c.pages);
        REQUIRE(bench.invalidated.size() == 2);
        CHECK(bench.invalidated[0].address_mask() == c.address_mask);
        CHECK(bench.invalidated[0].address() == address_of(PageNumber{c.first}));
        // The device TLB's range is aligned and always covers what is asked.
        CHECK(AtsRange::decode(bench.invalidated[1].high) == c.device_tlb);
        CHECK(c.device_tlb.covers(pages(c.first, c.first + c.pages - 1)));
    }
}

TEST_CASE("intel svm: the IOTLB misses the end of an unaligned range as in v5.0",
          "[unit][notifiers]") {
    Bench bench;
    bench.bind(kPlainDevice);
    bench.invalidate(8, 4);
    CHECK(iotlb_range(bench.invalidated.at(0)) == pages(8, 11));
    // Pages 6 to 9 (hazard HZ7): the hardware takes 4 to 7.
    bench.invalidate(6, 4);
    CHECK(iotlb_range(bench.invalidated.at(0)) == pages(4, 7));
    const auto submitted = bench.machine.trace().find(Event::kQiSubmit).back();
    CHECK(mmusim::test::RecordingTrace::argument(submitted, "end") == 8 * kPageSize);
}

TEST_CASE("intel svm: change_pte invalidates one leaf and leaves the tables above it",
          "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    REQUIRE(bench.client.ops().change_pte);
    bench.client.change_pte(bench.cpu, kMm, {0x9000}, Pte::present_entry({0x77}, 0), 1);
    REQUIRE(bench.invalidated.size() == 2);
    CHECK(iotlb_range(bench.invalidated[0]) == pages(9, 9));
    CHECK(bench.invalidated[0].hint() == QiDescriptor::Hint::kLeafOnly);
    CHECK(AtsRange::decode(bench.invalidated[1].high) == pages(9, 9));
    bench.invalidate(9, 1);
    CHECK(bench.invalidated[0].hint() == QiDescriptor::Hint::kNone);
}

TEST_CASE("intel svm: part of a page counts as a page", "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    bench.client.invalidate_range(bench.cpu, kMm, {{0x4000}, {0x5001}});
    CHECK(iotlb_range(bench.invalidated.at(0)) == pages(4, 5));
    CHECK_THROWS_AS(bench.client.invalidate_range(bench.cpu, kMm, {{0x4000}, {0x4000}}),
                    InvariantError);
}

TEST_CASE("intel svm: a range stays one of pages however large it is", "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    struct Case {
        std::uint64_t pages;
        unsigned address_mask;
    };
    // A process has 47 bits of addresses.
    for (const Case& c : {Case{1ull << 18, 18}, Case{(1ull << 18) + 1, 19}, Case{1ull << 35, 35}}) {
        CAPTURE(c.pages);
        bench.invalidate(0, c.pages);
        REQUIRE(bench.invalidated.size() == 2);
        CHECK(bench.invalidated[0].address_mask() == c.address_mask);
        CHECK(iotlb_range(bench.invalidated[0]) == pages(0, (1ull << c.address_mask) - 1));
        CHECK(AtsRange::decode(bench.invalidated[1].high) ==
              pages(0, (1ull << c.address_mask) - 1));
    }
}

TEST_CASE("intel svm: the range of a gather of a whole mm drops one page at the top",
          "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    bench.client.invalidate_range(bench.cpu, kMm, {kAllAddresses.end, kAllAddresses.end});
    REQUIRE(bench.invalidated.size() == 2);
    CHECK(bench.invalidated[0].address_mask() == 0);
    CHECK(bench.invalidated[0].high == (~0ull & ~(kPageSize - 1)));
    CHECK(bench.invalidated[1].high == (~0ull & ~(kPageSize - 1)));
}

TEST_CASE("intel svm: the chain calls it for ranges and for the release and for nothing else",
          "[unit][notifiers]") {
    Bench bench;
    bench.bind(kPlainDevice);
    NotifierChain chain;
    chain.register_client(kMm, bench.client);
    const NotifierRange section{kMm, pages(1, 2), true};
    chain.invalidate_range_start(bench.cpu, section);
    CHECK_FALSE(chain.clear_flush_young(bench.cpu, kMm, pages(1, 1)));
    chain.invalidate_range_only_end(bench.cpu, section);
    CHECK(bench.invalidated.empty());
    chain.invalidate_range_end(bench.cpu, section);
    CHECK(bench.invalidated.size() == 1);
    CHECK(bench.machine.time(0).charged()[Part::kNotifierInvalidate] ==
          bench.machine.costs().notifier_call);
    bench.invalidated.clear();
    chain.unregister_client(bench.cpu, kMm, bench.client);
    CHECK(bench.invalidated.size() == 2);
    CHECK_THROWS_AS(bench.client.invalidate_range(bench.cpu, kMm + 1, pages(1, 1)), InvariantError);
}

TEST_CASE("intel svm: a release takes the PASID out of the tables and then out of all caches",
          "[unit][notifiers]") {
    Bench bench;
    bench.bind(kAtsDevice);
    const PhysAddr context_table{
        bench.word(VtdTables::root_word(bench.tables.root_table(), kAtsDevice.source)) &
        VtdTables::kPointer};
    const PhysAddr directory{bench.word(VtdTables::context_word(context_table, kAtsDevice.source)) &
                             VtdTables::kPointer};
    const PhysAddr table{bench.word(VtdTables::directory_word(directory, kPasid)) &
                         VtdTables::kPointer};
    const PhysAddr entry = VtdTables::pasid_entry(table, kPasid);
    REQUIRE(bench.word(entry) & VtdTables::kPresent);
    bool present_when_invalidated = false;
    const auto remember = bench.machine.iommu().on_execute;
    bench.machine.iommu().on_execute = [&](const QiDescriptor& descriptor) {
        present_when_invalidated =
            present_when_invalidated || (bench.word(entry) & VtdTables::kPresent);
        remember(descriptor);
    };
    bench.client.release(bench.cpu, kMm);
    CHECK_FALSE(present_when_invalidated);
    CHECK(bench.word(entry) == 0);
    CHECK(bench.word(VtdTables::first_level_word(entry)) == 0);
    REQUIRE(bench.invalidated.size() == 3);
    CHECK(bench.invalidated[0].type() == QiType::kPasidCache);
    CHECK(bench.invalidated[0].pasid() == kPasid);
    CHECK(bench.invalidated[1].type() == QiType::kPasidIotlb);
    CHECK(bench.invalidated[1].granularity() == QiDescriptor::Granularity::kPasid);
    CHECK(bench.invalidated[2].type() == QiType::kPasidDeviceTlb);
    // QI_DEV_EIOTLB_ADDR(-1ULL >> 1) | QI_DEV_EIOTLB_SIZE
    CHECK(bench.invalidated[2].high == 0x7ffffffffffff800);
    CHECK(AtsRange::decode(bench.invalidated[2].high) == kAllAddresses);
    CHECK(bench.machine.trace().names().front() == "client_invalidate");
    CHECK(bench.machine.trace().names().back() == "client_invalidate_ret");
}

TEST_CASE("atc-before-iotlb: the device TLB is invalidated while the IOTLB can still fill it",
          "[unit][notifiers]") {
    Bench bench(InjectedFault::kAtcBeforeIotlb);
    bench.bind(kAtsDevice);
    bench.bind(kPlainDevice);
    bench.invalidate(1, 1);
    REQUIRE(bench.invalidated.size() == 3);
    CHECK(bench.invalidated[0].type() == QiType::kPasidDeviceTlb);
    CHECK(bench.invalidated[1].type() == QiType::kPasidIotlb);
    CHECK(bench.invalidated[2].type() == QiType::kPasidIotlb);
}

TEST_CASE("vtd tables: a walk from the root finds the page table of device and PASID",
          "[unit][notifiers]") {
    PlainMachine machine{1};
    Cpu& cpu = machine.cpu(0);
    VtdTableBuilder tables(machine);
    struct Binding {
        VtdDevice device;
        Pasid pasid;
        FrameNumber pgd;
    };
    // Two halves of one bus, another bus; PASIDs of one table and of two.
    const std::vector<Binding> bindings{{{0x6a01, true}, 0x41, {0x700}},
                                        {{0x6a81, false}, 0x41, {0x701}},
                                        {{0x6a01, true}, 0x42, {0x702}},
                                        {{0x6a01, true}, 0x7fff, {0x703}},
                                        {{0x00f8, false}, 0x41, {0x704}}};
    std::vector<PhysAddr> entries;
    for (const auto& b : bindings) entries.push_back(tables.bind(cpu, b.device, b.pasid, b.pgd));
    const auto word = [&](PhysAddr at) { return machine.memory()[at].value; };
    const auto next = [&](PhysAddr at) {
        CHECK((word(at) & VtdTables::kPresent) != 0);
        return PhysAddr{word(at) & VtdTables::kPointer};
    };
    for (std::size_t i = 0; i < bindings.size(); ++i) {
        CAPTURE(i);
        const auto& b = bindings[i];
        const PhysAddr context = VtdTables::context_word(
            next(VtdTables::root_word(tables.root_table(), b.device.source)), b.device.source);
        const PhysAddr entry = VtdTables::pasid_entry(
            next(VtdTables::directory_word(next(context), b.pasid)), b.pasid);
        CHECK(entry == entries[i]);
        CHECK(word(entry) == (VtdTables::kPresent | VtdTables::kFirstLevelOnly));
        CHECK((word(VtdTables::first_level_word(entry)) & VtdTables::kPointer) ==
              address_of(b.pgd).value);
        CHECK((word(context) & VtdTables::kPasidEnable) != 0);
        CHECK(((word(context) & VtdTables::kDeviceTlbEnable) != 0) == b.device.ats);
    }
    // One PASID of one device is one address space; the others have it for themselves.
    CHECK_THROWS_AS(tables.bind(cpu, bindings[0].device, 0x41, {0x705}), InvariantError);
    CHECK_THROWS_AS(tables.bind(cpu, bindings[0].device, VtdTableBuilder::kPasids, {0x705}),
                    InvariantError);
}
