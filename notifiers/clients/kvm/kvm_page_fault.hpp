// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "notifiers/clients/kvm/kvm.hpp"

namespace mmusim::notifiers {

enum class KvmFault {
    kRetry,       ///< RET_PF_RETRY: the guest makes the access again, mapped or not
    kBadAddress,  ///< -EFAULT: the process has nothing there, or not for this access
};

/// tdp_page_fault() (arch/x86/kvm/mmu.c): resolves an EPT violation at `address`. The page is
/// looked up through the process's own tables and mapped by 4 KiB, unless a notifier section is
/// open or has ended since the sequence was taken (rule N7). No lock held, interrupts on; the CPU
/// runs a task of the process. Time passes: KernelCosts::kvm_fault for Part::kSecondStage, and what
/// the lookup costs.
KvmFault tdp_page_fault(rmap::Cpu& cpu, Kvm& kvm, KvmVcpu& vcpu, rmap::GuestPhysAddr address,
                        rmap::Access access);

}  // namespace mmusim::notifiers
