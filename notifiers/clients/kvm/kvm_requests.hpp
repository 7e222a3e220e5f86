// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "notifiers/clients/kvm/kvm.hpp"

namespace mmusim::notifiers {

/// kvm_flush_remote_tlbs() (virt/kvm/kvm_main.c): on return no vCPU runs guest code with
/// translations from before the call, because each one has the request and flushes before it
/// enters the guest again. The vCPUs do not execute the flush meanwhile. mmu_lock held, interrupts
/// on. Time passes: Part::kKick, and Part::kGuestExit from the arrival of the interrupt at the
/// last vCPU to its handler.
void kvm_flush_remote_tlbs(rmap::Cpu& cpu, Kvm& kvm);

}  // namespace mmusim::notifiers
