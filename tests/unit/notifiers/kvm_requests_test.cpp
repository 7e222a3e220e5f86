// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_requests.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/notifiers/kvm_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::KvmBench;
using mmusim::test::Lines;

TEST_CASE("kvm flush: every vCPU gets the request and only those in the guest are interrupted",
          "[unit][notifiers]") {
    KvmBench bench(4);
    bench.set_mode(1, VcpuMode::kInGuest);
    bench.set_mode(2, VcpuMode::kExitingGuest);
    kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
    for (unsigned id = 0; id < 4; ++id) {
        CAPTURE(id);
        CHECK(bench.requests(id) == kReqTlbFlush);
    }
    CHECK(bench.calls.masks == std::vector<std::uint64_t>{0b01100});
    CHECK(bench.mode(0) == VcpuMode::kOutsideGuest);
    CHECK(bench.mode(1) == VcpuMode::kExitingGuest);
    CHECK(bench.mode(2) == VcpuMode::kExitingGuest);
    CHECK(bench.kvm.stats.kicks == 2);
    CHECK(bench.kvm.stats.remote_tlb_flush == 1);
}

TEST_CASE("kvm flush: events tell each vCPU's mode and return after the last acknowledgement",
          "[unit][notifiers]") {
    KvmBench bench(3);
    bench.set_mode(0, VcpuMode::kInGuest);
    bench.set_mode(2, VcpuMode::kInGuest);
    kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
    CHECK(bench.trace().lines({"vm", "vcpu", "mode", "kicked", "cpumask"}) ==
          Lines{"kvm_flush_remote_tlbs vm=3", "kvm_make_request vm=3 vcpu=0 mode=1 kicked=1",
                "kvm_make_request vm=3 vcpu=1 mode=0 kicked=0",
                "kvm_make_request vm=3 vcpu=2 mode=1 kicked=1", "ipi_send cpumask=0xa",
                "call_function_entry", "call_function_ack", "call_function_entry",
                "call_function_ack", "kvm_flush_remote_tlbs_ret vm=3 cpumask=0xa"});
    const auto acks = bench.trace().find(Event::kCallFunctionAck);
    const auto ret = bench.trace().first(Event::kKvmFlushRemoteTlbsRet);
    for (const auto& ack : acks) CHECK(ret.time > ack.time);
}

TEST_CASE("kvm flush: the vCPU of the flushing CPU is asked but not interrupted",
          "[unit][notifiers]") {
    KvmBench bench(2);
    bench.set_mode(0, VcpuMode::kInGuest);  // stale: the vCPU's CPU is the one that flushes
    kvm_flush_remote_tlbs(bench.cpu(1), bench.kvm);
    CHECK(bench.requests(0) == kReqTlbFlush);
    CHECK(bench.requests(1) == kReqTlbFlush);
    CHECK(bench.calls.masks.empty());
    CHECK(bench.accesses(1, {bench.vcpu(0).mode()}).empty());
    CHECK(bench.kvm.stats.kicks == 0);
    CHECK(bench.kvm.stats.remote_tlb_flush == 0);
}

TEST_CASE("kvm flush: the request is set before the mode is tested, both by locked instructions",
          "[unit][notifiers]") {
    KvmBench bench(1);
    kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
    CHECK(bench.accesses(0, {bench.vcpu().requests(), bench.vcpu().mode(), bench.kvm.tlbs_dirty}) ==
          Lines{"load 2", "rmw 0", "rmw 1", "rmw 2"});
    CHECK(line_of(bench.vcpu().requests()) == line_of(bench.vcpu().mode()));
}

TEST_CASE("kvm flush: the time without interrupts is that of the requests", "[unit][notifiers]") {
    KvmBench bench(3);
    kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
    const Duration access = bench.machine.plain_costs().memory_access;
    const Duration kick = (bench.machine.costs().kvm_request + access * 2) * 3 + access * 2;
    CHECK(bench.charged(Part::kKick) == kick);
    CHECK(bench.cpu().now() == Instant{} + kick);
}

TEST_CASE("kvm flush: the time until a vCPU has left its guest is its own part",
          "[unit][notifiers]") {
    KvmBench bench(1);
    bench.set_mode(0, VcpuMode::kInGuest);
    const auto& plain = bench.machine.plain_costs();
    const auto& costs = bench.machine.costs();
    const Duration access = plain.memory_access;
    // load tlbs_dirty, request and mode, queue and interrupt: then the interrupt is on its way.
    const Duration sent = access + costs.kvm_request + access * 2 + costs.call_function_queue +
                          access + plain.send_ipi;
    const Instant arrival = Instant{} + sent + plain.ipi_delivery;
    const Duration leaving = nanoseconds(777);
    bench.machine.time(1).spend(arrival - Instant{} + leaving, Part::kGuest);
    kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
    CHECK(bench.charged(Part::kGuestExit) == leaving);
    const Duration handler = costs.interrupt_entry + access;
    CHECK(bench.charged(Part::kKick) ==
          sent + plain.ipi_delivery + handler + plain.visibility + access);
    CHECK(bench.charged(Part::kKick) + bench.charged(Part::kGuestExit) ==
          bench.cpu().now() - Instant{});
}

TEST_CASE("kvm flush: tlbs_dirty is cleared unless it was raised meanwhile", "[unit][notifiers]") {
    KvmBench bench(1);
    auto& dirty = bench.machine.memory()[bench.kvm.tlbs_dirty];
    dirty.value = 3;
    SECTION("not raised") {
        kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
        CHECK(bench.word(bench.kvm.tlbs_dirty) == 0);
    }
    SECTION("raised while the requests are made") {
        bench.trace().at_next(Event::kKvmMakeRequest, 0, [&] { dirty.value = 4; });
        kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
        CHECK(bench.word(bench.kvm.tlbs_dirty) == 4);
    }
}

TEST_CASE("kvm flush: skip-kick leaves the requests and interrupts nobody", "[unit][notifiers]") {
    KvmBench bench(1, InjectedFault::kSkipKick);
    bench.set_mode(0, VcpuMode::kInGuest);
    kvm_flush_remote_tlbs(bench.cpu(), bench.kvm);
    CHECK(bench.requests() == kReqTlbFlush);
    CHECK(bench.calls.masks.empty());
    CHECK(bench.trace().lines({"mode", "kicked", "cpumask"}) ==
          Lines{"kvm_flush_remote_tlbs", "kvm_make_request mode=1 kicked=0",
                "kvm_flush_remote_tlbs_ret cpumask=0x0"});
}
