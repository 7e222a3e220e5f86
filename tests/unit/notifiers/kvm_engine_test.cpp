// SPDX-License-Identifier: Apache-2.0
// KVM over the engine itself: what both say of one page. CPU 0 changes the process, whose vCPU is
// on CPU 1.
#include <catch2/catch.hpp>

#include "notifiers/clients/kvm/kvm_client.hpp"
#include "notifiers/clients/kvm/kvm_page_fault.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::KernelBench;
using mmusim::test::RecordingTrace;
using Lines = std::vector<std::string>;

namespace {

struct Bench : KernelBench {
    static constexpr std::uint64_t kPages = 4;
    static constexpr GuestPhysAddr kGpa{0x10000};

    explicit Bench(const Populate& how = KernelBench::kColdDirty)
        : mm(anon_mm(kPages, {0, 1}, how)),
          kvm({1, 5, mm.context.id, InjectedFault::kNone}, memory, calls, kernel),
          client(kvm) {
        chain.register_client(mm.context.id, client);
        kvm.add_user_slot(cpu().memory(), kGpa, range(kPages));
        vcpu = &kvm.create_vcpu(1, {});
    }

    void guest_touches(std::uint64_t index, Access access) {
        tdp_page_fault(cpu(1), kvm, *vcpu, kGpa + index * kPageSize, access);
    }
    Word spte(std::uint64_t index) {
        return machine.memory()[kvm.table.leaf(kGpa + index * kPageSize).entry];
    }
    EptEntry entry(std::uint64_t index) { return EptEntry{spte(index).value}; }

    Mm& mm;
    Kvm kvm;
    KvmClient client;
    KvmVcpu* vcpu = nullptr;
};

}  // namespace

TEST_CASE("kvm and engine: the guest gets the page of the process without keeping it",
          "[unit][notifiers]") {
    Bench bench;
    bench.guest_touches(2, Access::kWrite);
    Page& page = bench.mapped_page(bench.mm, 2);
    CHECK(bench.entry(2).frame() == page.pfn());
    CHECK(bench.entry(2).writable());
    CHECK(bench.spte(2).generation == page.generation);
    CHECK(page.refcount(bench.cpu()) == 1);
}

TEST_CASE("kvm and engine: the entry is gone before the process's own is cleared",
          "[unit][notifiers]") {
    // 5.0.1/n_kvm_move_n4_run
    Bench bench;
    bench.guest_touches(0, Access::kWrite);
    const FrameNumber before = bench.mapped_page(bench.mm, 0).pfn();
    bench.trace().clear();
    REQUIRE(bench.kernel.move_pages(bench.cpu(), bench.mm, {bench.page(0)}, 1).succeeded == 1);
    CHECK(bench.order({Event::kMnStart, Event::kKvmMnStart, Event::kSpteClear,
                       Event::kKvmFlushRemoteTlbs, Event::kKvmFlushRemoteTlbsRet,
                       Event::kKvmMnStartRet, Event::kMnStartRet, Event::kPtepClearFlush,
                       Event::kPtepClearFlushRet, Event::kMnEnd, Event::kKvmMnEnd,
                       Event::kKvmMnEndRet, Event::kMnEndRet, Event::kMigratePageCopy}) ==
          "mn_range_start kvm_mn_range_start spte_clear kvm_flush_remote_tlbs "
          "kvm_flush_remote_tlbs_ret kvm_mn_range_start_ret mn_range_start_ret ptep_clear_flush "
          "ptep_clear_flush_ret mn_range_end kvm_mn_range_end kvm_mn_range_end_ret "
          "mn_range_end_ret migrate_page_copy");
    CHECK_FALSE(bench.entry(0).present());
    bench.guest_touches(0, Access::kWrite);
    CHECK(bench.entry(0).frame() == bench.mapped_page(bench.mm, 0).pfn());
    CHECK(bench.entry(0).frame() != before);
}

TEST_CASE("kvm and engine: a copy that a guest's write makes is met at the second try",
          "[unit][notifiers]") {
    Bench bench;
    bench.kernel.fork(bench.cpu(), bench.mm, "child");
    bench.guest_touches(1, Access::kRead);
    CHECK_FALSE(bench.entry(1).writable());
    const FrameNumber shared = bench.entry(1).frame();
    // Looking the page up for writing opens a section of its own.
    bench.guest_touches(1, Access::kWrite);
    CHECK(bench.trace().count(Event::kKvmRetry) == 1);
    CHECK_FALSE(bench.entry(1).present());
    bench.guest_touches(1, Access::kWrite);
    CHECK(bench.trace().count(Event::kKvmRetry) == 1);
    CHECK(bench.entry(1).writable());
    CHECK(bench.entry(1).frame() != shared);
}

TEST_CASE("kvm and engine: reclaim keeps a page that only the guest uses", "[unit][notifiers]") {
    Bench bench;
    bench.guest_touches(3, Access::kRead);
    ReclaimControl control;
    control.aging = Aging::kForbidden;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    CHECK(bench.pte(bench.mm, 3).present());
    CHECK(bench.entry(3).present());
    CHECK_FALSE(bench.entry(3).accessed());
    CHECK(bench.pte(bench.mm, 2).swap_type());
    CHECK((bench.machine.memory()[bench.vcpu->requests()].value & kReqTlbFlush) != 0);
}

TEST_CASE("kvm and engine: unmapping the memory takes the guest's entries with it",
          "[unit][notifiers]") {
    Bench bench;
    for (std::uint64_t index = 0; index < Bench::kPages; ++index)
        bench.guest_touches(index, Access::kWrite);
    bench.trace().clear();
    bench.kernel.munmap(bench.cpu(), bench.mm, bench.range(2));
    CHECK_FALSE(bench.entry(0).present());
    CHECK_FALSE(bench.entry(1).present());
    CHECK(bench.entry(2).present());
    CHECK(bench.trace().count(Event::kKvmFlushRemoteTlbs) == 1);
    CHECK(tdp_page_fault(bench.cpu(1), bench.kvm, *bench.vcpu, Bench::kGpa, Access::kRead) ==
          KvmFault::kBadAddress);
}
