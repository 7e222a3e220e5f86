// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/vcpu_run.hpp"

#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/unit/notifiers/kvm_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::external_interrupt;
using mmusim::test::FakeGuest;
using mmusim::test::FakeUsers;
using mmusim::test::KvmBench;
using mmusim::test::Lines;
using mmusim::test::PlainTime;
using mmusim::test::RecordingInterrupts;
using mmusim::test::violation;

namespace {

struct VcpuBench : KvmBench {
    explicit VcpuBench(unsigned vcpus = 1, InjectedFault fault = InjectedFault::kNone)
        : KvmBench(vcpus, fault) {}

    FakeGuest guest{machine.time(1)};

    VcpuStop run() { return vcpu_run(cpu(1), kvm, vcpu(), guest); }
    Lines events() { return trace().lines({"vm", "vcpu", "reason", "gpa", "write"}, 1); }

    /// From now on an interrupt for CPU 1 makes the guest leave `exit_cost` after its arrival, and
    /// its handler runs then; afterwards the guest step goes on with interrupts off. Unlike a core
    /// this does not leave the interrupt pending: in one host thread its sender waits inside the
    /// guest step.
    void interrupts_leave_guest(Duration exit_cost) {
        machine.interrupts(0).deliver = [this, exit_cost](const RecordingInterrupts::Sent& sent) {
            PlainTime& time = machine.time(1);
            const Instant arrived = sent.at + machine.plain_costs().ipi_delivery;
            time.idle_until(arrived);
            time.spend(exit_cost, Part::kGuest);
            call_function.handle_interrupt(cpu(1), {sent.vector, arrived, sent.cause});
        };
    }
};

}  // namespace

TEST_CASE("vcpu: it enters the guest and stops when that halts", "[unit][notifiers]") {
    VcpuBench bench;
    CHECK(bench.run() == VcpuStop::kHalted);
    CHECK(bench.events() == Lines{"kvm_entry vm=3 vcpu=0", "vm_exit vm=3 vcpu=0 reason=12",
                                  "kvm_exit vm=3 vcpu=0 reason=12"});
    REQUIRE(bench.guest.entries.size() == 1);
    CHECK(bench.guest.entries[0].vm == KvmBench::kVm);
    CHECK(bench.guest.entries[0].ept_root == bench.kvm.table.root());
    CHECK(bench.guest.entries[0].cr3 == KvmBench::kCr3);
    CHECK(bench.vcpu().stats.exits == 1);
    CHECK(bench.machine.tlb(1).operations.empty());
}

TEST_CASE("vcpu: in the guest it is in guest mode with interrupts off", "[unit][notifiers]") {
    VcpuBench bench;
    VcpuMode inside = VcpuMode::kOutsideGuest;
    Interrupts interrupts = Interrupts::kOn;
    bench.guest.steps.push_back([&] {
        inside = bench.mode();
        interrupts = bench.machine.time(1).interrupts();
        return external_interrupt();
    });
    bench.run();
    CHECK(inside == VcpuMode::kInGuest);
    CHECK(interrupts == Interrupts::kOff);
    CHECK(bench.mode() == VcpuMode::kOutsideGuest);
    CHECK(bench.machine.time(1).interrupts() == Interrupts::kOn);
    CHECK(bench.guest.entries.size() == 2);
}

TEST_CASE("vcpu: the mode is set and visible before the requests are read", "[unit][notifiers]") {
    VcpuBench bench;
    bench.run();
    const PhysAddr mode = bench.vcpu().mode();
    const PhysAddr requests = bench.vcpu().requests();
    CHECK(bench.accesses(1, {mode, requests}) == Lines{"load 1", "rmw 0", "load 1", "rmw 0"});
    // Between the second and the third lies what it takes until everybody can see the mode.
    const auto& accesses = bench.machine.memory().accesses;
    CHECK(accesses[2].at - accesses[1].at ==
          bench.machine.plain_costs().visibility + bench.machine.plain_costs().memory_access);
}

TEST_CASE("vcpu: a request is served before the guest is entered", "[unit][notifiers]") {
    VcpuBench bench;
    bench.machine.memory()[bench.vcpu().requests()].value = kReqTlbFlush;
    bench.run();
    CHECK(bench.events() == Lines{"kvm_vcpu_flush_tlb vm=3 vcpu=0", "kvm_entry vm=3 vcpu=0",
                                  "vm_exit vm=3 vcpu=0 reason=12",
                                  "kvm_exit vm=3 vcpu=0 reason=12"});
    REQUIRE(bench.machine.tlb(1).operations.size() == 1);
    CHECK(bench.machine.tlb(1).operations[0].kind == TlbOperation::Kind::kInvept);
    CHECK(bench.machine.tlb(1).operations[0].vm == KvmBench::kVm);
    CHECK(bench.requests() == 0);
    CHECK(bench.vcpu().stats.tlb_flush == 1);
}

TEST_CASE("vcpu: a request that comes after the bit was cleared is served as well",
          "[unit][notifiers]") {
    VcpuBench bench;
    bench.machine.memory()[bench.vcpu().requests()].value = kReqTlbFlush;
    bench.map(0);
    unsigned flushes = 0;
    std::uint64_t pending = 1;
    bench.machine.tlb(1).on_execute = [&](const TlbOperation&) {
        if (flushes++ > 0) return;
        pending = bench.requests();
        bench.start();
    };
    bench.run();
    CHECK(pending == 0);  // or this flush would take the new request with it
    CHECK(bench.events() == Lines{"kvm_vcpu_flush_tlb vm=3 vcpu=0",
                                  "kvm_vcpu_flush_tlb vm=3 vcpu=0", "kvm_entry vm=3 vcpu=0",
                                  "vm_exit vm=3 vcpu=0 reason=12",
                                  "kvm_exit vm=3 vcpu=0 reason=12"});
    CHECK(bench.guest.entries.size() == 1);
    // The vCPU was outside all the time: nobody had to interrupt it.
    CHECK(bench.calls.masks.empty());
    CHECK(bench.mode() == VcpuMode::kOutsideGuest);
}

TEST_CASE("vcpu: a flush makes it leave the guest and flush before it goes on",
          "[unit][notifiers]") {
    VcpuBench bench;
    const Duration leaving = nanoseconds(613);
    bench.interrupts_leave_guest(leaving);
    bench.map(0);
    bench.guest.steps.push_back([&] {
        bench.start();
        return external_interrupt();
    });
    bench.run();
    CHECK(bench.events() == Lines{"kvm_entry vm=3 vcpu=0", "call_function_single_entry",
                                  "call_function_ack", "vm_exit vm=3 vcpu=0 reason=1",
                                  "kvm_exit vm=3 vcpu=0 reason=1", "kvm_vcpu_flush_tlb vm=3 vcpu=0",
                                  "kvm_entry vm=3 vcpu=0", "vm_exit vm=3 vcpu=0 reason=12",
                                  "kvm_exit vm=3 vcpu=0 reason=12"});
    CHECK(bench.charged(Part::kGuestExit) == leaving);
    const auto ack = bench.trace().first(Event::kCallFunctionAck);
    CHECK(bench.trace().first(Event::kKvmFlushRemoteTlbsRet).time > ack.time);
    CHECK(bench.requests() == 0);
}

TEST_CASE("vcpu: the interrupt that made it leave is served before kvm_exit is traced",
          "[unit][notifiers]") {
    VcpuBench bench;
    bench.guest.steps.push_back([&] {
        // Pending: it is sent in time to be taken as soon as interrupts go on.
        bench.machine.time(1).interrupts_on = [&] {
            bench.machine.time(1).interrupts_on = {};
            CpuMask target;
            target.set(1);
            bench.call_function.call_many(bench.cpu(0), target, [](Cpu&) {}, {});
        };
        return external_interrupt();
    });
    bench.run();
    const Lines events = bench.events();
    CHECK(Lines(events.begin(), events.begin() + 5) ==
          Lines{"kvm_entry vm=3 vcpu=0", "vm_exit vm=3 vcpu=0 reason=1",
                "call_function_single_entry", "call_function_ack",
                "kvm_exit vm=3 vcpu=0 reason=1"});
    // The guest was left before the interrupt's handler ran, and what the kernel does about the
    // exit begins after it.
    const auto exit = bench.trace().first(Event::kVmExit);
    const auto traced = bench.trace().first(Event::kKvmExit);
    CHECK(exit.time < bench.trace().first(Event::kCallFunctionSingleEntry).time);
    CHECK(bench.trace().first(Event::kCallFunctionAck).time <= traced.time);
}

TEST_CASE("vcpu: with skip-kick the guest runs on with the request unserved", "[unit][notifiers]") {
    VcpuBench bench(1, InjectedFault::kSkipKick);
    bench.map(0);
    bool unserved = false;
    bench.guest.steps.push_back([&] {
        bench.start();
        unserved = bench.requests() == kReqTlbFlush;
        return external_interrupt();
    });
    bench.run();
    CHECK(unserved);
    CHECK(bench.trace().count(Event::kCallFunctionSingleEntry) == 0);
    CHECK(bench.requests() == 0);  // at the next entry
}

TEST_CASE("vcpu: a violation is resolved and the guest entered again", "[unit][notifiers]") {
    VcpuBench bench;
    bench.guest.steps.push_back([&] { return violation(bench.gpa(4) + 8, Access::kWrite); });
    bool mapped = false;
    bench.guest.steps.push_back([&] {
        mapped = bench.spte(bench.gpa(4)).writable();
        return external_interrupt();
    });
    CHECK(bench.run() == VcpuStop::kHalted);
    CHECK(mapped);
    CHECK(bench.events()[1] == "vm_exit vm=3 vcpu=0 reason=48");
    CHECK(bench.events()[2] == "kvm_exit vm=3 vcpu=0 reason=48");
    CHECK(bench.events()[3] == "kvm_tdp_page_fault vm=3 vcpu=0 gpa=0x40004008 write=1");
    CHECK(bench.vcpu().stats.exits == 3);
    CHECK(bench.vcpu().stats.faults == 1);
}

TEST_CASE("vcpu: violations in a section are met again until it ends", "[unit][notifiers]") {
    VcpuBench bench;
    bench.start();
    const auto touch = [&] { return violation(bench.gpa(0), Access::kRead); };
    bench.guest.steps.push_back(touch);
    bench.guest.steps.push_back([&] {
        bench.end();
        return touch();
    });
    CHECK(bench.run() == VcpuStop::kHalted);
    CHECK(bench.vcpu().stats.faults == 2);
    CHECK(bench.vcpu().stats.retries == 1);
    CHECK(bench.spte(bench.gpa(0)).present());
}

TEST_CASE("vcpu: a bad address stops it", "[unit][notifiers]") {
    VcpuBench bench;
    bench.users.pages.clear();
    bench.guest.steps.push_back([&] { return violation(bench.gpa(0), Access::kRead); });
    CHECK(bench.run() == VcpuStop::kBadAddress);
    CHECK(bench.guest.entries.size() == 1);
    CHECK(bench.mode() == VcpuMode::kOutsideGuest);
}

TEST_CASE("vcpu: it runs on its own CPU only", "[unit][notifiers]") {
    VcpuBench bench(2);
    CHECK_THROWS_AS(vcpu_run(bench.cpu(2), bench.kvm, bench.vcpu(0), bench.guest), InvariantError);
    CHECK(bench.guest.entries.empty());
}

TEST_CASE("vcpu: an entry costs its lines and the barrier and an exit its handling",
          "[unit][notifiers]") {
    VcpuBench bench;
    const Duration access = bench.machine.plain_costs().memory_access;
    const Duration entry = access * 4 + bench.machine.plain_costs().visibility + FakeGuest::kCost +
                           bench.machine.costs().kvm_exit_handle;
    bench.run();
    CHECK(bench.charged(Part::kGuest, 1) == entry);
    CHECK(bench.cpu(1).now() == Instant{} + entry);
    // With a request: the bit is cleared and the TLB flushed.
    bench.machine.memory()[bench.vcpu().requests()].value = kReqTlbFlush;
    bench.run();
    CHECK(bench.charged(Part::kGuest, 1) ==
          entry * 2 + access + bench.machine.plain_costs().tlb_operation);
    CHECK(bench.machine.time(1).charged().sum() == bench.charged(Part::kGuest, 1));
}
