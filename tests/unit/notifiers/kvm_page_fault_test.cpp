// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_page_fault.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/notifiers/kvm_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::FakeUsers;
using mmusim::test::KvmBench;
using mmusim::test::Lines;

namespace {

/// A fault of vCPU 0, on CPU 1.
KvmFault fault(KvmBench& bench, std::uint64_t page, Access access = Access::kRead) {
    return tdp_page_fault(bench.cpu(1), bench.kvm, bench.vcpu(), bench.gpa(page) + 0x18, access);
}

bool mapped(KvmBench& bench, std::uint64_t page) { return bench.spte(bench.gpa(page)).present(); }

/// Where a section can start or end in relation to a fault: all places in which its CPU does not
/// hold mmu_lock.
enum Place { kBefore, kAfterSequence, kInLookup, kAfterLookup, kAfterFault, kNotAtAll };

struct Section {
    Place start;
    Place end;
};

/// All sections that start at one of the places up to `last_start`.
std::vector<Section> sections(Place last_start) {
    std::vector<Section> result;
    for (int start = kBefore; start <= last_start; ++start)
        for (int end = start; end <= kNotAtAll; ++end)
            result.push_back({static_cast<Place>(start), static_cast<Place>(end)});
    return result;
}

/// Runs one fault with a section on CPU 0 that starts and ends at the given places.
void fault_with_section(KvmBench& bench, const Section& section) {
    const auto at = [&](Place place) {
        if (place == section.start) bench.start();
        if (place == section.end) bench.end();
    };
    at(kBefore);
    bench.trace().at_next(Event::kKvmSequenceRead, 1, [&] {
        at(kAfterSequence);
        bench.trace().at_next(Event::kKvmHvaToPfn, 1, [&] { at(kAfterLookup); });
    });
    bench.users.during_get = [&] { at(kInLookup); };
    CHECK(fault(bench, 0) == KvmFault::kRetry);
    at(kAfterFault);
}

}  // namespace

TEST_CASE("kvm fault: the sequence is read before the page is looked up and checked after",
          "[unit][notifiers]") {
    KvmBench bench;
    CHECK(fault(bench, 2, Access::kWrite) == KvmFault::kRetry);
    const std::string page = " client=5 mm=7 addr=0x7f0000012000";
    CHECK(bench.trace().lines({"client", "mm", "addr", "vm", "vcpu", "gpa", "write", "sequence",
                               "pfn", "generation", "ret"}) ==
          Lines{"kvm_tdp_page_fault vm=3 vcpu=0 gpa=0x40002018 write=1",
                "mmu_notifier_seq_read" + page + " sequence=0",
                "hva_to_pfn" + page + " pfn=0x20002 generation=11",
                "spte_set" + page + " pfn=0x20002 generation=11", "kvm_tdp_page_fault_ret ret=0"});
    CHECK(bench.users.diary == Lines{"get for writing 0x20002 cpu1", "put 0x20002 cpu1"});
    CHECK(bench.vcpu().stats.faults == 1);
    CHECK(bench.vcpu().stats.retries == 0);
    CHECK(bench.spte(bench.gpa(2)).writable());
}

TEST_CASE("kvm fault: a section that touches the fault makes it retry and drop the page",
          "[unit][notifiers]") {
    for (const Section& section : sections(kAfterFault)) {
        CAPTURE(section.start, section.end);
        KvmBench bench;
        fault_with_section(bench, section);
        // Harmless only if it was over before the sequence was read or began after the fault; then
        // the start has removed what the fault had made.
        const bool over = section.end == kBefore;
        const bool later = section.start == kAfterFault;
        CHECK(mapped(bench, 0) == over);
        CHECK(bench.trace().count(Event::kSpteSet) == (over || later ? 1 : 0));
        CHECK(bench.trace().count(Event::kSpteClear) == (later ? 1 : 0));
        CHECK(bench.trace().count(Event::kKvmRetry) == (over || later ? 0 : 1));
        CHECK(bench.vcpu().stats.retries == (over || later ? 0 : 1));
        CHECK(bench.users.diary[1] == "put 0x20000 cpu1");
        CHECK_FALSE(bench.kvm.mmu_lock.held_by(bench.cpu(1)));
    }
}

TEST_CASE("kvm fault: a page that is mapped is dropped under mmu_lock and any other after it",
          "[unit][notifiers]") {
    KvmBench bench;
    bool held = false;
    bench.users.during_put = [&] { held = bench.kvm.mmu_lock.held_by(bench.cpu(1)); };
    fault(bench, 0);
    CHECK(held);
    bench.start();
    fault(bench, 1);
    CHECK_FALSE(held);
    CHECK(bench.users.diary.back() == "put 0x20001 cpu1");
    bench.end();
    held = true;
    bench.client.release(bench.cpu(), KvmBench::kMm);
    fault(bench, 2);
    CHECK_FALSE(held);
    CHECK(bench.users.diary.back() == "put 0x20002 cpu1");
}

TEST_CASE("kvm fault: a section anywhere in the process stops all new entries",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.start(bench.range(900, 1));
    CHECK(fault(bench, 0) == KvmFault::kRetry);
    CHECK_FALSE(mapped(bench, 0));
    CHECK(bench.trace().lines({"count", "sequence"}, 1)[3] ==
          "mmu_notifier_retry count=1 sequence=0");
    bench.end(bench.range(900, 1));
    CHECK(fault(bench, 0) == KvmFault::kRetry);
    CHECK(mapped(bench, 0));
}

TEST_CASE("kvm fault: of two sections that overlap the later end counts", "[unit][notifiers]") {
    KvmBench bench;
    bench.start();
    bench.start();
    fault(bench, 0);
    CHECK_FALSE(mapped(bench, 0));
    bench.end();
    fault(bench, 0);
    CHECK_FALSE(mapped(bench, 0));
    bench.end();
    fault(bench, 0);
    CHECK(mapped(bench, 0));
}

TEST_CASE("kvm fault: install-in-section sees the sequence only", "[unit][notifiers]") {
    for (const Section& section : sections(kAfterLookup)) {
        CAPTURE(section.start, section.end);
        KvmBench bench(1, InjectedFault::kInstallInSection);
        fault_with_section(bench, section);
        const bool sequence_same = section.end == kBefore || section.end >= kAfterFault;
        CHECK(mapped(bench, 0) == sequence_same);
    }
}

TEST_CASE("kvm fault: skip-retry-check maps whatever was looked up", "[unit][notifiers]") {
    for (const Section& section : sections(kAfterLookup)) {
        CAPTURE(section.start, section.end);
        KvmBench bench(1, InjectedFault::kSkipRetryCheck);
        fault_with_section(bench, section);
        CHECK(mapped(bench, 0));
        CHECK(bench.trace().count(Event::kKvmRetry) == 0);
    }
}

TEST_CASE("kvm fault: reading a page that may not be written maps it read-only",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.users.pages[bench.hva(0)].writable = false;
    fault(bench, 0, Access::kRead);
    CHECK(mapped(bench, 0));
    CHECK_FALSE(bench.spte(bench.gpa(0)).writable());
    CHECK(bench.users.diary[0] == "get 0x20000 cpu1");
    // Writing asks again and replaces the entry. The violation itself has dropped the old
    // translation, so nobody is asked to flush.
    fault(bench, 0, Access::kWrite);
    CHECK(bench.spte(bench.gpa(0)).writable());
    CHECK(bench.users.diary[2] == "get for writing 0x20000 cpu1");
    CHECK(bench.trace().count(Event::kKvmFlushRemoteTlbs) == 0);
}

TEST_CASE("kvm fault: reading a page that may be written maps it writable", "[unit][notifiers]") {
    KvmBench bench;
    fault(bench, 0, Access::kRead);
    CHECK(bench.spte(bench.gpa(0)).writable());
}

TEST_CASE("kvm fault: replacing another page flushes before mmu_lock is dropped",
          "[unit][notifiers]") {
    KvmBench bench(2);
    bench.map(0);
    bench.set_mode(1, VcpuMode::kInGuest);
    bench.users.pages[bench.hva(0)] = {{0x777}, 1, true};
    bool held = false;
    bench.trace().at_next(Event::kKvmFlushRemoteTlbsRet, 1,
                          [&] { held = bench.kvm.mmu_lock.held_by(bench.cpu(1)); });
    fault(bench, 0);
    CHECK(held);
    CHECK(bench.requests(0) == kReqTlbFlush);
    CHECK(bench.requests(1) == kReqTlbFlush);
    CHECK(bench.calls.masks == std::vector<std::uint64_t>{0b100});
}

TEST_CASE("kvm fault: an address that the process does not have is an error", "[unit][notifiers]") {
    KvmBench bench;
    bench.users.pages.erase(bench.hva(1));
    CHECK(fault(bench, 1) == KvmFault::kBadAddress);
    CHECK_FALSE(mapped(bench, 1));
    CHECK(bench.trace().lines({"ret"}) ==
          Lines{"kvm_tdp_page_fault", "mmu_notifier_seq_read", "kvm_tdp_page_fault_ret ret=-14"});
    CHECK(bench.users.diary.empty());
}

TEST_CASE("kvm fault: nothing is mapped after the release", "[unit][notifiers]") {
    KvmBench bench;
    bench.client.release(bench.cpu(), KvmBench::kMm);
    CHECK(fault(bench, 1) == KvmFault::kBadAddress);
    CHECK_FALSE(mapped(bench, 1));
    CHECK(bench.users.diary.back() == "put 0x20001 cpu1");
    // There is nothing to look up behind a fixed slot.
    bench.trace().clear();
    CHECK(tdp_page_fault(bench.cpu(1), bench.kvm, bench.vcpu(), KvmBench::kFixedGpa,
                         Access::kRead) == KvmFault::kBadAddress);
    CHECK(bench.trace().names() == Lines{"kvm_tdp_page_fault", "kvm_tdp_page_fault_ret"});
}

TEST_CASE("kvm fault: its time goes to the second stage and the lookup", "[unit][notifiers]") {
    KvmBench bench;
    fault(bench, 0);
    const Duration access = bench.machine.plain_costs().memory_access;
    // Sequence; count and sequence again; what the entry holds, and the entry.
    CHECK(bench.charged(Part::kSecondStage, 1) == bench.machine.costs().kvm_fault + access * 5);
    CHECK(bench.charged(Part::kFault, 1) == FakeUsers::kCost);
    CHECK(bench.charged(Part::kLock, 1) == access * 2);
    CHECK(bench.machine.time(1).charged().sum() == bench.cpu(1).now() - Instant{});
}
