// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/vcpu_run.hpp"

#include <optional>

#include "notifiers/clients/kvm/kvm_page_fault.hpp"
#include "rmap/sync/full_barrier.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::Event;
using rmap::GuestExit;
using rmap::Instant;
using rmap::Part;
using rmap::Word;

namespace {

/// Basic exit reason (Intel SDM vol. 3, appendix C).
std::uint64_t exit_reason(const GuestExit& exit) {
    switch (exit.reason) {
        case GuestExit::Reason::kExternalInterrupt:
            return 1;
        case GuestExit::Reason::kHalt:
            return 12;
        case GuestExit::Reason::kEptViolation:
            return 48;
    }
    MMUSIM_CHECK(false, "a guest leaves for one of these reasons");
}

/// Returns when the store was serialised.
Instant set_mode(Cpu& cpu, const KvmVcpu& vcpu, VcpuMode mode) {
    Instant serialised;
    const auto set = [&](Word, Instant at) {
        serialised = at;
        return Word{static_cast<std::uint64_t>(mode), 0};
    };
    cpu.memory().read_modify_write(vcpu.mode(), set, Part::kGuest);
    return serialised;
}

/// kvm_request_pending()
bool request_pending(Cpu& cpu, const KvmVcpu& vcpu) {
    return cpu.memory().load(vcpu.requests(), Part::kGuest).value != 0;
}

/// kvm_check_request(KVM_REQ_TLB_FLUSH) and kvm_vcpu_flush_tlb(). A request that comes after the
/// bit was cleared sets it again, and is found before the guest is entered.
void serve_requests(Cpu& cpu, const Kvm& kvm, KvmVcpu& vcpu) {
    if (!request_pending(cpu, vcpu)) return;
    const auto clear = [](Word old, Instant) { return Word{old.value & ~kReqTlbFlush, 0}; };
    cpu.memory().read_modify_write(vcpu.requests(), clear, Part::kGuest);
    rmap::TlbOperation invept;
    invept.kind = rmap::TlbOperation::Kind::kInvept;
    invept.vm = kvm.config.vm;
    cpu.tlb().execute(invept, Part::kGuest);
    cpu.emit(Event::kKvmTlbFlush, {kvm.config.vm, vcpu.id});
    ++vcpu.stats.tlb_flush;
}

/// False: a request came in time. Who makes requests sets the bit and then reads the mode; here it
/// is the other way round, so one of the two notices (kvm_requests.cpp: make_flush_request). The
/// barrier makes visible here what was serialised before this store, which is more than the line:
/// a request that is served has its removed entries behind it. EXITING_GUEST_MODE need not be
/// looked for, since it never comes without a request.
bool enter_guest_mode(Cpu& cpu, const KvmVcpu& vcpu) {
    const Instant entered = set_mode(cpu, vcpu, VcpuMode::kInGuest);
    rmap::full_barrier(cpu, entered, Part::kGuest);
    return !request_pending(cpu, vcpu);
}

/// The part of vcpu_enter_guest() with interrupts off. An interrupt that made the guest leave is
/// taken on return, before handle_exit() traces the exit; so the exit itself has an event of its
/// own. Nothing: the guest was not entered.
std::optional<GuestExit> enter_guest(Cpu& cpu, const Kvm& kvm, KvmVcpu& vcpu,
                                     rmap::GuestPort& guest) {
    const rmap::InterruptsOff irqs_off(cpu.time());
    std::optional<GuestExit> exit;
    if (enter_guest_mode(cpu, vcpu)) {
        cpu.emit(Event::kKvmEntry, {kvm.config.vm, vcpu.id});
        exit = guest.enter_guest({kvm.config.vm, kvm.table.root(), vcpu.cr3});
        cpu.emit(Event::kVmExit, {kvm.config.vm, vcpu.id, exit_reason(*exit)});
        ++vcpu.stats.exits;
    }
    set_mode(cpu, vcpu, VcpuMode::kOutsideGuest);
    return exit;
}

/// handle_exit(): nothing if the guest goes on.
std::optional<VcpuStop> handle_exit(Cpu& cpu, Kvm& kvm, KvmVcpu& vcpu, const GuestExit& exit) {
    cpu.emit(Event::kKvmExit, {kvm.config.vm, vcpu.id, exit_reason(exit)});
    cpu.spend(cpu.costs().kvm_exit_handle, Part::kGuest);
    switch (exit.reason) {
        case GuestExit::Reason::kExternalInterrupt:
            break;
        case GuestExit::Reason::kEptViolation:
            if (tdp_page_fault(cpu, kvm, vcpu, exit.address, exit.access) == KvmFault::kBadAddress)
                return VcpuStop::kBadAddress;
            break;
        case GuestExit::Reason::kHalt:
            return VcpuStop::kHalted;
    }
    return std::nullopt;
}

}  // namespace

VcpuStop vcpu_run(Cpu& cpu, Kvm& kvm, KvmVcpu& vcpu, rmap::GuestPort& guest) {
    MMUSIM_CHECK(cpu.id() == vcpu.cpu, "a vCPU stays on its CPU");
    for (;;) {
        serve_requests(cpu, kvm, vcpu);
        const auto exit = enter_guest(cpu, kvm, vcpu, guest);
        if (!exit) continue;
        if (const auto stop = handle_exit(cpu, kvm, vcpu, *exit)) return *stop;
    }
}

}  // namespace mmusim::notifiers
