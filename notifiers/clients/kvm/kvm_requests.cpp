// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_requests.hpp"

#include "rmap/types/cpu_mask.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::CpuMask;
using rmap::Event;
using rmap::Instant;
using rmap::Part;
using rmap::Word;

namespace {

constexpr rmap::CallParts kKickParts{Part::kKick, Part::kKick, Part::kGuestExit, Part::kKick,
                                     Part::kKick};

/// kvm_make_request(): set_bit().
void make_request(Cpu& cpu, const KvmVcpu& vcpu, std::uint64_t request) {
    const auto set = [&](Word old, Instant) { return Word{old.value | request, 0}; };
    cpu.memory().read_modify_write(vcpu.requests(), set, Part::kKick);
}

/// kvm_vcpu_exiting_guest_mode(): cmpxchg, returns the old mode.
VcpuMode exiting_guest_mode(Cpu& cpu, const KvmVcpu& vcpu) {
    constexpr auto kIn = static_cast<std::uint64_t>(VcpuMode::kInGuest);
    constexpr auto kExiting = static_cast<std::uint64_t>(VcpuMode::kExitingGuest);
    const auto exchange = [&](Word old, Instant) {
        return old.value == kIn ? Word{kExiting, 0} : old;
    };
    return static_cast<VcpuMode>(
        cpu.memory().read_modify_write(vcpu.mode(), exchange, Part::kKick).value);
}

/// One vCPU's turn in kvm_make_vcpus_request_mask(). Returns whether it must be interrupted.
///
/// Nobody can get into the guest with old translations: the entry was removed, then the bit set,
/// then the mode read, each by a locked instruction and so in one order with those of the vCPU on
/// this line, which sets its mode and then reads the bit (vcpu_run.cpp: enter_guest_mode). Either
/// the mode is seen here, or the bit there. A vCPU that sees the bit also sees the entry removed,
/// because its barrier waits until everything from before its own store is visible to it.
bool make_flush_request(Cpu& cpu, const Kvm& kvm, const KvmVcpu& vcpu) {
    cpu.spend(cpu.costs().kvm_request, Part::kKick);
    make_request(cpu, vcpu, kReqTlbFlush);
    // A vCPU of this very CPU is outside: its CPU is here.
    VcpuMode mode = VcpuMode::kOutsideGuest;
    if (vcpu.cpu != cpu.id()) mode = exiting_guest_mode(cpu, vcpu);
    // KVM_REQUEST_WAIT: one that is on its way out is waited for as well.
    const bool kick =
        mode != VcpuMode::kOutsideGuest && kvm.config.fault != rmap::InjectedFault::kSkipKick;
    cpu.emit(Event::kKvmMakeRequest,
             {kvm.config.vm, vcpu.id, static_cast<std::uint64_t>(mode), kick});
    return kick;
}

/// kvm_make_all_cpus_request(KVM_REQ_TLB_FLUSH). Returns who was interrupted.
CpuMask make_all_cpus_request(Cpu& cpu, Kvm& kvm) {
    CpuMask cpus;
    for (const KvmVcpu& vcpu : kvm.vcpus) {
        if (!make_flush_request(cpu, kvm, vcpu)) continue;
        cpus.set(vcpu.cpu);
        ++kvm.stats.kicks;
    }
    // ack_flush() does nothing: the interrupt itself makes the guest leave.
    if (!cpus.empty())
        kvm.calls.call_many(
            cpu, cpus, [](Cpu&) {}, kKickParts);
    return cpus;
}

}  // namespace

void kvm_flush_remote_tlbs(Cpu& cpu, Kvm& kvm) {
    cpu.emit(Event::kKvmFlushRemoteTlbs, {kvm.config.vm});
    // Before the requests: what gets dirty after them is not covered by them.
    const std::uint64_t dirty = cpu.memory().load(kvm.tlbs_dirty, Part::kKick).value;
    const CpuMask kicked = make_all_cpus_request(cpu, kvm);
    if (!kicked.empty()) ++kvm.stats.remote_tlb_flush;
    const auto clean = [&](Word old, Instant) { return old.value == dirty ? Word{} : old; };
    cpu.memory().read_modify_write(kvm.tlbs_dirty, clean, Part::kKick);
    cpu.emit(Event::kKvmFlushRemoteTlbsRet, {kvm.config.vm, kicked.word(0)});
}

}  // namespace mmusim::notifiers
