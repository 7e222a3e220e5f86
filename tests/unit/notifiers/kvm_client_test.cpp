// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_client.hpp"

#include <catch2/catch.hpp>

#include "notifiers/notifier_chain.hpp"
#include "rmap/types/check.hpp"
#include "tests/unit/notifiers/kvm_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::KvmBench;
using mmusim::test::Lines;
using mmusim::test::RecordingTrace;

namespace {

const std::string kRange = " start=0x7f0000010000 end=0x7f0000011000";
const std::string kClientRange = " client=5 mm=7" + kRange;

// What takes the place of a page of the process.
const Pte kCopy = Pte::present_entry({0x777}, Pte::kAccessed);
constexpr Generation kCopyGeneration = 12;

Lines lines(KvmBench& bench) {
    return bench.trace().lines({"client", "mm", "start", "end", "count", "sequence"});
}

Lines captured(KvmBench& bench) {
    return bench.trace().lines({}, 0, RecordingTrace::Which::kCaptured);
}

}  // namespace

TEST_CASE("kvm client: a start counts and removes and flushes and then returns",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    bench.start();
    CHECK(lines(bench) == Lines{"kvm_mn_range_start mm=7" + kRange, "client_start" + kClientRange,
                                "client_count client=5 mm=7 count=1 sequence=0",
                                "spte_clear client=5 mm=7", "kvm_flush_remote_tlbs",
                                "kvm_make_request", "kvm_flush_remote_tlbs_ret",
                                "client_zapped" + kClientRange, "client_start_ret" + kClientRange,
                                "kvm_mn_range_start_ret"});
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 1);
    CHECK(bench.word(bench.kvm.mmu_notifier_seq) == 0);
}

TEST_CASE("kvm client: a start over nothing mapped does not flush but reports the range",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.map(1);
    bench.start();
    CHECK(lines(bench) == Lines{"kvm_mn_range_start mm=7" + kRange, "client_start" + kClientRange,
                                "client_count client=5 mm=7 count=1 sequence=0",
                                "client_zapped" + kClientRange, "client_start_ret" + kClientRange,
                                "kvm_mn_range_start_ret"});
    CHECK(bench.requests() == 0);
}

TEST_CASE("kvm client: a start flushes for entries that somebody else has removed",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.machine.memory()[bench.kvm.tlbs_dirty].value = 1;
    bench.start();
    CHECK(bench.trace().count(Event::kKvmFlushRemoteTlbs) == 1);
    CHECK(bench.requests() == kReqTlbFlush);
}

TEST_CASE("kvm client: count and removal and flush are one hold of mmu_lock", "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    bool held = false;
    bench.trace().at_next(Event::kKvmFlushRemoteTlbsRet, 0,
                          [&] { held = bench.kvm.mmu_lock.held_by(bench.cpu()); });
    bench.start();
    CHECK(held);
    const PhysAddr lock = bench.kvm.mmu_lock.word();
    CHECK(bench.accesses(0, {lock}).size() == 2);
    CHECK_FALSE(bench.kvm.mmu_lock.held_by(bench.cpu()));
    bench.end();
    CHECK(bench.accesses(0, {lock}).size() == 4);
}

TEST_CASE("kvm client: the end raises the sequence before it lowers the count",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.start();
    bench.trace().clear();
    bench.machine.memory().accesses.clear();
    bench.end();
    CHECK(lines(bench) == Lines{"kvm_mn_range_end mm=7" + kRange,
                                "client_count client=5 mm=7 count=1 sequence=1",
                                "client_count client=5 mm=7 count=0 sequence=1",
                                "client_end" + kClientRange, "kvm_mn_range_end_ret"});
    CHECK(bench.accesses(0, {bench.kvm.mmu_notifier_seq, bench.kvm.mmu_notifier_count}) ==
          Lines{"rmw 0", "rmw 1"});
    CHECK(line_of(bench.kvm.mmu_notifier_seq) == line_of(bench.kvm.mmu_notifier_count));
}

TEST_CASE("kvm client: sections nest in any order and an end too many opens none",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.start(bench.range(0, 4));
    bench.start(bench.range(1, 1));
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 2);
    bench.end(bench.range(0, 4));
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 1);
    bench.end(bench.range(1, 1));
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 0);
    CHECK(bench.word(bench.kvm.mmu_notifier_seq) == 2);
    bench.end();
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 0);
    CHECK(bench.word(bench.kvm.mmu_notifier_seq) == 3);
}

TEST_CASE("kvm client: what a capture shows of a section comes in its order", "[unit][notifiers]") {
    // 5.0.1/n_kvm_move_n4_run: move_pages of a page that a vCPU uses.
    KvmBench bench;
    NotifierChain chain;
    chain.register_client(KvmBench::kMm, bench.client);
    bench.map(0);
    bench.set_mode(0, VcpuMode::kInGuest);
    const NotifierRange range{KvmBench::kMm, bench.range(0, 1), true};
    chain.invalidate_range_start(bench.cpu(), range);
    CHECK(captured(bench) == Lines{"mn_range_start", "kvm_mn_range_start", "kvm_flush_remote_tlbs",
                                   "kvm_flush_remote_tlbs_ret", "kvm_mn_range_start_ret",
                                   "mn_range_start_ret"});
    bench.trace().clear();
    chain.invalidate_range_end(bench.cpu(), range);
    CHECK(captured(bench) ==
          Lines{"mn_range_end", "kvm_mn_range_end", "kvm_mn_range_end_ret", "mn_range_end_ret"});
}

TEST_CASE("kvm client: it serves the process of its VM only", "[unit][notifiers]") {
    KvmBench bench;
    const NotifierRange other{KvmBench::kMm + 1, bench.range(0, 1), true};
    CHECK_THROWS_AS(bench.client.invalidate_range_start(bench.cpu(), other), InvariantError);
}

TEST_CASE("kvm client: it has no invalidate_range and pays for none", "[unit][notifiers]") {
    KvmBench bench;
    const NotifierOps ops = bench.client.ops();
    CHECK_FALSE(ops.invalidate_range);
    CHECK(ops.release);
    CHECK(ops.clear_flush_young);
    CHECK(ops.clear_young);
    CHECK(ops.change_pte);
    CHECK(ops.invalidate_range_start);
    CHECK(ops.invalidate_range_end);
}

TEST_CASE("kvm client: aging flushes if a page was used and says so", "[unit][notifiers]") {
    // 5.0.1/n_kvm_memcg_reclaim_n4_halt: page_referenced of a page that the guest has used.
    KvmBench bench;
    NotifierChain chain;
    chain.register_client(KvmBench::kMm, bench.client);
    bench.map(0);
    bench.walker_sets(0, EptEntry::kAccessed);
    CHECK(chain.clear_flush_young(bench.cpu(), KvmBench::kMm, bench.range(0, 1)));
    CHECK(captured(bench) == Lines{"mn_clear_flush_young", "kvm_mn_clear_flush_young",
                                   "kvm_flush_remote_tlbs", "kvm_flush_remote_tlbs_ret",
                                   "kvm_mn_clear_flush_young_ret", "mn_clear_flush_young_ret"});
    CHECK(bench.requests() == kReqTlbFlush);
    bench.trace().clear();
    CHECK_FALSE(chain.clear_flush_young(bench.cpu(), KvmBench::kMm, bench.range(0, 1)));
    CHECK(bench.trace().lines({"ret", "start"}) ==
          Lines{"mn_clear_flush_young start=0x7f0000010000",
                "kvm_mn_clear_flush_young start=0x7f0000010000",
                "kvm_mn_clear_flush_young_ret ret=0", "mn_clear_flush_young_ret ret=0"});
    CHECK(bench.spte(bench.gpa(0)).present());
    CHECK(bench.kvm.mmu_lock.held_by(bench.cpu()) == false);
}

TEST_CASE("kvm client: aging for idle-page tracking flushes nothing", "[unit][notifiers]") {
    // 5.0.1/n_kvm_idleset_n4_halt
    KvmBench bench;
    NotifierChain chain;
    chain.register_client(KvmBench::kMm, bench.client);
    bench.map(0);
    bench.walker_sets(0, EptEntry::kAccessed);
    CHECK(chain.clear_young(bench.cpu(), KvmBench::kMm, bench.range(0, 1)));
    CHECK(captured(bench) == Lines{"mn_clear_young", "kvm_mn_clear_young"});
    CHECK(bench.requests() == 0);
    CHECK(bench.spte(bench.gpa(0)).present());
    CHECK_FALSE(bench.kvm.mmu_lock.held_by(bench.cpu()));
    CHECK_FALSE(chain.clear_young(bench.cpu(), KvmBench::kMm, bench.range(0, 1)));
}

TEST_CASE("kvm client: aging inside a section finds nothing", "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    bench.walker_sets(0, EptEntry::kAccessed);
    bench.start();
    CHECK(bench.users.diary == Lines{"accessed 0x20000 cpu0"});
    CHECK_FALSE(bench.client.clear_flush_young(bench.cpu(), KvmBench::kMm, bench.range(0, 1)));
}

TEST_CASE("kvm client: change_pte finds nothing that the start has not removed",
          "[unit][notifiers]") {
    // 5.0.1/n_kvm_dontneed_n4_run: the guest writes to the zero page.
    KvmBench bench;
    NotifierChain chain;
    chain.register_client(KvmBench::kMm, bench.client);
    bench.map(0);
    bench.start();
    bench.trace().clear();
    bench.set_mode(0, VcpuMode::kOutsideGuest);
    const std::uint64_t requested = bench.requests();
    chain.change_pte(bench.cpu(), KvmBench::kMm, bench.hva(0), kCopy, kCopyGeneration);
    CHECK(captured(bench) == Lines{"mn_change_pte", "kvm_mn_change_pte"});
    CHECK(bench.word(bench.kvm.mmu_notifier_seq) == 1);
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 1);
    CHECK(bench.requests() == requested);
    CHECK_FALSE(bench.kvm.mmu_lock.held_by(bench.cpu()));
}

TEST_CASE("kvm client: change_pte removes the entry of a page that may be written",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    bench.map(1);
    bench.walker_sets(0, EptEntry::kAccessed);
    bench.client.change_pte(bench.cpu(), KvmBench::kMm, bench.hva(0),
                            kCopy.with(Pte::kWritable | Pte::kDirty), kCopyGeneration);
    CHECK_FALSE(bench.spte(bench.gpa(0)).present());
    CHECK(bench.spte(bench.gpa(1)).present());
    CHECK(bench.users.diary == Lines{"accessed 0x20000 cpu0"});
    CHECK(bench.requests() == kReqTlbFlush);
}

TEST_CASE("kvm client: change_pte maps a page that may not be written in place of the old one",
          "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    bench.walker_sets(0, EptEntry::kAccessed | EptEntry::kDirty);
    bench.client.change_pte(bench.cpu(), KvmBench::kMm, bench.hva(0), kCopy, kCopyGeneration);
    const EptEntry entry = bench.spte(bench.gpa(0));
    CHECK(entry.frame() == kCopy.frame());
    CHECK_FALSE(entry.writable());
    CHECK_FALSE(entry.accessed());
    CHECK(bench.machine.memory()[bench.kvm.table.leaf(bench.gpa(0)).entry].generation ==
          kCopyGeneration);
    CHECK(bench.users.diary == Lines{"accessed 0x20000 cpu0", "dirty 0x20000 cpu0"});
    CHECK(bench.trace().lines({"pfn"}, 0) ==
          Lines{"kvm_mn_change_pte", "client_count", "spte_clear pfn=0x20000", "spte_set pfn=0x777",
                "kvm_flush_remote_tlbs", "kvm_make_request", "kvm_flush_remote_tlbs_ret"});
}

TEST_CASE("kvm client: the release drops everything and flushes", "[unit][notifiers]") {
    KvmBench bench;
    NotifierChain chain;
    chain.register_client(KvmBench::kMm, bench.client);
    bench.map(5);
    chain.unregister_client(bench.cpu(), KvmBench::kMm, bench.client);
    CHECK_FALSE(bench.spte(bench.gpa(5)).present());
    CHECK_FALSE(bench.spte(KvmBench::kFixedGpa).present());
    CHECK(bench.kvm.released);
    CHECK(bench.requests() == kReqTlbFlush);
    CHECK_FALSE(bench.kvm.mmu_lock.held_by(bench.cpu()));
}

TEST_CASE("kvm client: the time of a section goes to its parts", "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    const Duration access = bench.machine.plain_costs().memory_access;
    bench.start();
    CHECK(bench.charged(Part::kNotifierStart) == access);
    // Look at the entry and remove it, look at tlbs_dirty.
    CHECK(bench.charged(Part::kSecondStage) == bench.machine.costs().kvm_unmap_page + access * 3);
    CHECK(bench.charged(Part::kKick) == bench.machine.costs().kvm_request + access * 4);
    bench.end();
    CHECK(bench.charged(Part::kNotifierEnd) == access * 2);
    CHECK(bench.charged(Part::kLock) == access * 4);
    CHECK(bench.cpu().now() - Instant{} == bench.machine.time(0).charged().sum());
}

TEST_CASE("kvm client: zap-before-count removes in a hold of its own", "[unit][notifiers]") {
    KvmBench bench(1, InjectedFault::kZapBeforeCount);
    bench.map(0);
    bench.start();
    CHECK(lines(bench) == Lines{"kvm_mn_range_start mm=7" + kRange, "client_start" + kClientRange,
                                "spte_clear client=5 mm=7", "kvm_flush_remote_tlbs",
                                "kvm_make_request", "kvm_flush_remote_tlbs_ret",
                                "client_zapped" + kClientRange,
                                "client_count client=5 mm=7 count=1 sequence=0",
                                "client_start_ret" + kClientRange, "kvm_mn_range_start_ret"});
    CHECK(bench.accesses(0, {bench.kvm.mmu_lock.word()}).size() == 4);
    bench.end();
    CHECK(bench.word(bench.kvm.mmu_notifier_count) == 0);
}

TEST_CASE("kvm client: count-before-sequence lowers the count first", "[unit][notifiers]") {
    KvmBench bench(1, InjectedFault::kCountBeforeSequence);
    bench.start();
    bench.trace().clear();
    bench.end();
    CHECK(lines(bench) == Lines{"kvm_mn_range_end mm=7" + kRange,
                                "client_count client=5 mm=7 count=0 sequence=0",
                                "client_count client=5 mm=7 count=0 sequence=1",
                                "client_end" + kClientRange, "kvm_mn_range_end_ret"});
}
