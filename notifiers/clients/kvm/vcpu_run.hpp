// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "notifiers/clients/kvm/kvm.hpp"

namespace mmusim::notifiers {

/// Why a vCPU has stopped.
enum class VcpuStop {
    kHalted,      ///< the guest executed HLT
    kBadAddress,  ///< -EFAULT from the page-fault path
};

/// vcpu_run() (arch/x86/kvm/x86.c): runs the guest of `vcpu` on its CPU until it stops. Requests
/// are served before any entry, those of the time while it was stopped included. The CPU runs a
/// task of the VM's process; no lock held, interrupts on. `guest` is the core's own. Time passes:
/// Part::kGuest for the loop, the guest and the flushes of its TLB, and what exits cost.
VcpuStop vcpu_run(rmap::Cpu& cpu, Kvm& kvm, KvmVcpu& vcpu, rmap::GuestPort& guest);

}  // namespace mmusim::notifiers
