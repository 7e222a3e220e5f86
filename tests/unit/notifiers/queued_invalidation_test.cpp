// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/intel_svm/queued_invalidation.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "rmap/types/check.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::PlainMachine;
using mmusim::test::PlainWords;
using Lines = std::vector<std::string>;

namespace {

constexpr Pasid kPasid = 0x12345;
constexpr QiDescriptor kIotlb = QiDescriptor::pasid_iotlb_pages(kPasid, {0x1000}, 0);
const QiDescriptor kDeviceTlb =
    QiDescriptor::pasid_device_tlb(0x6a01, kPasid, AtsRange::encode({0x4000}, 2));

struct Bench {
    explicit Bench(const QueuedInvalidation::Config& config = {}) : qi(config, machine) {
        machine.iommu().set_queue(qi.queue(), qi.queue_bytes());
    }

    static QueuedInvalidation::Config slots(std::uint64_t entries,
                                            InjectedFault fault = InjectedFault::kNone) {
        return {entries, fault};
    }
    void submit(const QiDescriptor& descriptor, CpuId id = 0) {
        qi.qi_submit_sync(machine.cpu(id), descriptor);
    }
    Duration charged(Part part) { return machine.time(0).charged()[part]; }
    std::vector<QiType> types() {
        std::vector<QiType> result;
        for (const auto& descriptor : machine.iommu().executed) result.push_back(descriptor.type());
        return result;
    }

    PlainMachine machine{2};
    QueuedInvalidation qi;
};

}  // namespace

TEST_CASE("queued invalidation: the descriptor and its wait lie in memory before the tail moves",
          "[unit][notifiers]") {
    Bench bench;
    bench.machine.iommu().at_once = false;
    PlainWords& memory = bench.machine.memory();
    const PhysAddr queue = bench.qi.queue();
    bench.machine.time(0).while_waiting = [&] {
        CHECK(memory[queue].value == kDeviceTlb.low);
        CHECK(memory[queue + 8].value == kDeviceTlb.high);
        const QiDescriptor wait{memory[queue + 16].value, memory[queue + 24].value};
        CHECK(wait.type() == QiType::kInvalidationWait);
        CHECK(memory[wait.status_address()].value == 1);  // QI_IN_USE
        bench.machine.iommu().execute();
        CHECK(memory[wait.status_address()].value == 2);  // QI_DONE
    };
    bench.submit(kDeviceTlb);
    REQUIRE(bench.machine.iommu().tail_writes.size() == 1);
    CHECK(bench.machine.iommu().tail_writes[0].tail == 32);
    CHECK(bench.types() == std::vector<QiType>{QiType::kPasidDeviceTlb, QiType::kInvalidationWait});
    CHECK((queue.value & (kPageSize - 1)) == 0);
    CHECK(bench.qi.queue_bytes() == kPageSize);
}

TEST_CASE("queued invalidation: every nanosecond of a submission has its part",
          "[unit][notifiers]") {
    Bench bench;
    const auto& plain = bench.machine.plain_costs();
    const auto& costs = bench.machine.costs();
    Part executed = Part::kIotlb;
    SECTION("IOTLB") { bench.submit(kIotlb); }
    SECTION("device TLB") {
        bench.submit(kDeviceTlb);
        executed = Part::kAtc;
    }
    // Two status words and two descriptors; then the own status, and two slots of which each is
    // read and freed before the next one is found free.
    constexpr unsigned kWords = 2 + 4 + 1 + (2 * 2 + 1);
    CHECK(bench.charged(Part::kIommuSubmit) ==
          costs.qi_descriptor * 2 + plain.memory_access * kWords + plain.tail_write);
    CHECK(bench.charged(Part::kLock) == plain.memory_access * 4);
    // The lock is dropped while the doorbell is on its way.
    CHECK(bench.charged(Part::kIommuQueue) == plain.iommu_queue - plain.memory_access);
    CHECK(bench.charged(executed) == plain.iommu_invalidate);
    CHECK(bench.charged(Part::kIommuWait) == plain.iommu_write_back + plain.memory_access);
    CHECK(bench.charged(Part::kLock) + bench.charged(Part::kIommuSubmit) +
              bench.charged(Part::kIommuQueue) + bench.charged(executed) +
              bench.charged(Part::kIommuWait) ==
          bench.machine.cpu(0).now() - Instant{});
}

TEST_CASE("queued invalidation: events tell what the hardware takes out of the descriptor",
          "[unit][notifiers]") {
    Bench bench;
    bench.submit(kIotlb);
    // Page 5 of a range of four: hardware drops the low bits.
    bench.submit(QiDescriptor::pasid_iotlb_pages(kPasid, {0x5000}, 2));
    bench.submit(QiDescriptor::pasid_iotlb_all(kPasid));
    bench.submit(kDeviceTlb);
    bench.submit(QiDescriptor::pasid_cache(kPasid));
    CHECK(bench.machine.trace().lines({"sequence", "type", "pasid", "start", "end"}) ==
          Lines{"qi_submit_sync sequence=1 type=6 pasid=74565 start=0x1000 end=0x2000",
                "iqt_write sequence=1", "qi_submit_sync_ret sequence=1",
                "qi_submit_sync sequence=2 type=6 pasid=74565 start=0x4000 end=0x8000",
                "iqt_write sequence=2", "qi_submit_sync_ret sequence=2",
                "qi_submit_sync sequence=3 type=6 pasid=74565 start=0x0 end=0xffffffffffffffff",
                "iqt_write sequence=3", "qi_submit_sync_ret sequence=3",
                "qi_submit_sync sequence=4 type=8 pasid=74565 start=0x4000 end=0x8000",
                "iqt_write sequence=4", "qi_submit_sync_ret sequence=4",
                "qi_submit_sync sequence=5 type=7 pasid=74565 start=0x0 end=0xffffffffffffffff",
                "iqt_write sequence=5", "qi_submit_sync_ret sequence=5"});
}

TEST_CASE("queued invalidation: interrupts are off until the slots are reclaimed",
          "[unit][notifiers]") {
    Bench bench;
    bench.machine.iommu().at_once = false;
    bench.machine.time(0).while_waiting = [&] {
        CHECK(bench.machine.time(0).interrupts() == Interrupts::kOff);
        bench.machine.iommu().execute();
    };
    bool off = true;
    bench.machine.memory().on_access = [&](const PlainWords::Access&) {
        off = off && bench.machine.time(0).interrupts() == Interrupts::kOff;
    };
    bench.submit(kIotlb);
    CHECK(off);
    CHECK(bench.machine.time(0).interrupts() == Interrupts::kOn);
}

TEST_CASE("queued invalidation: interrupts that were off before stay off", "[unit][notifiers]") {
    Bench bench;
    unsigned switched_on = 0;
    bench.machine.time(0).interrupts_on = [&] { ++switched_on; };
    bench.machine.time(0).set_interrupts(Interrupts::kOff);
    bench.submit(kIotlb);
    CHECK(switched_on == 0);
    CHECK(bench.machine.time(0).interrupts() == Interrupts::kOff);
}

TEST_CASE("queued invalidation: others submit while one waits and both get their slots back",
          "[unit][notifiers]") {
    Bench bench(Bench::slots(8));
    bench.machine.iommu().at_once = false;
    bench.machine.time(0).while_waiting = [&] {
        bench.machine.iommu().at_once = true;
        bench.submit(kDeviceTlb, 1);  // the unit executes both
        // The slots of CPU 0 are older, and it has not come back yet.
        CHECK(bench.machine.trace().count(Event::kQiSubmitRet) == 1);
    };
    bench.submit(kIotlb);
    CHECK(bench.types() == std::vector<QiType>{QiType::kPasidIotlb, QiType::kInvalidationWait,
                                               QiType::kPasidDeviceTlb, QiType::kInvalidationWait});
    CHECK(bench.machine.trace().lines({"sequence"}) ==
          Lines{"qi_submit_sync sequence=1", "iqt_write sequence=1", "qi_submit_sync sequence=2",
                "iqt_write sequence=2", "qi_submit_sync_ret sequence=2",
                "qi_submit_sync_ret sequence=1"});
    // All eight slots are free again: nobody spins, wherever the ring begins.
    for (unsigned i = 0; i < 5; ++i) bench.submit(kIotlb);
    CHECK(bench.charged(Part::kLock) == bench.machine.plain_costs().memory_access * 4 * 6);
    CHECK(bench.machine.iommu().tail_writes.back().tail == 14 * 16 % (8 * 16));
}

TEST_CASE("queued invalidation: the ring wraps and the tail with it", "[unit][notifiers]") {
    Bench bench(Bench::slots(4));
    for (unsigned i = 0; i < 5; ++i) bench.submit(i % 2 ? kDeviceTlb : kIotlb);
    std::vector<std::uint64_t> tails;
    for (const auto& write : bench.machine.iommu().tail_writes) tails.push_back(write.tail);
    CHECK(tails == std::vector<std::uint64_t>{32, 0, 32, 0, 32});
    CHECK(bench.machine.iommu().executed.size() == 10);
    CHECK(bench.machine.iommu().executed[8].type() == QiType::kPasidIotlb);
}

TEST_CASE("queued invalidation: a status that did not arrive stops the run", "[unit][notifiers]") {
    Bench bench;
    bench.machine.iommu().set_queue(bench.qi.queue() + 64, bench.qi.queue_bytes());
    CHECK_THROWS_AS(bench.submit(kIotlb), InvariantError);
}

TEST_CASE("queued invalidation: its size is a power of two that fits into a frame",
          "[unit][notifiers]") {
    PlainMachine machine{1};
    for (const std::uint64_t bad : {0, 2, 3, 12, 512})
        CHECK_THROWS_AS(QueuedInvalidation({bad, InjectedFault::kNone}, machine), InvariantError);
    CHECK_NOTHROW(QueuedInvalidation({4, InjectedFault::kNone}, machine));
    CHECK_NOTHROW(QueuedInvalidation({256, InjectedFault::kNone}, machine));
}

TEST_CASE("skip-iommu-wait: the submission returns before the unit has begun",
          "[unit][notifiers]") {
    Bench bench(Bench::slots(256, InjectedFault::kSkipIommuWait));
    bench.machine.iommu().at_once = false;
    bench.submit(kIotlb);
    bench.submit(kDeviceTlb);
    CHECK(bench.machine.iommu().executed.empty());
    CHECK(bench.machine.trace().count(Event::kQiSubmitRet) == 2);
    for (const Part part : {Part::kIommuQueue, Part::kIotlb, Part::kAtc, Part::kIommuWait})
        CHECK(bench.charged(part) == Duration{});
    // The answers still find their completions.
    bench.machine.iommu().execute();
    CHECK(bench.types() == std::vector<QiType>{QiType::kPasidIotlb, QiType::kInvalidationWait,
                                               QiType::kPasidDeviceTlb, QiType::kInvalidationWait});
    bench.submit(kIotlb);
    bench.machine.iommu().execute();
    CHECK(bench.machine.iommu().executed.size() == 6);
}

TEST_CASE("queued invalidation: a full ring is waited for with interrupts on in between",
          "[unit][notifiers]") {
    // Submissions that nobody waits for fill the ring.
    Bench bench(Bench::slots(4, InjectedFault::kSkipIommuWait));
    bench.machine.iommu().at_once = false;
    bench.submit(kIotlb);
    CHECK(bench.machine.iommu().executed.empty());
    const Duration before = bench.charged(Part::kLock);
    const PhysAddr lock = bench.machine.memory().accesses.front().address;
    unsigned attempts = 0;
    unsigned with_interrupts_on = 0;
    bench.machine.memory().on_access = [&](const PlainWords::Access& access) {
        with_interrupts_on += bench.machine.time(0).interrupts() == Interrupts::kOn;
        if (!(access.address == lock)) return;
        // Four attempts take and drop the lock; then the unit is done.
        if (++attempts == 8) bench.machine.iommu().execute();
    };
    unsigned switched_on = 0;
    bench.machine.time(0).interrupts_on = [&] { ++switched_on; };
    bench.submit(kDeviceTlb);
    CHECK(attempts == 10);
    CHECK(switched_on == 5);
    CHECK(with_interrupts_on == 0);
    CHECK(bench.charged(Part::kLock) - before == bench.machine.plain_costs().memory_access * 10);
    CHECK(bench.machine.iommu().executed.size() == 2);
    bench.machine.iommu().execute();
    CHECK(bench.types() == std::vector<QiType>{QiType::kPasidIotlb, QiType::kInvalidationWait,
                                               QiType::kPasidDeviceTlb, QiType::kInvalidationWait});
}
