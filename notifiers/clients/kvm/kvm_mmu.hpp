// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "notifiers/clients/kvm/kvm.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::notifiers {

// What KVM does to second-stage entries (arch/x86/kvm/mmu.c). mmu_lock held in all of them. Time
// passes: Part::kSecondStage, and what the pages' state costs.

/// The caller must flush the VM's TLBs before it drops mmu_lock.
enum class NeedFlush { kNo, kYes };

/// kvm_unmap_hva_range(): removes every entry for the range of the process.
NeedFlush kvm_unmap_hva_range(rmap::Cpu& cpu, Kvm& kvm, rmap::VirtRange range);

/// kvm_mmu_zap_all(): removes every entry of every slot.
NeedFlush kvm_mmu_zap_all(rmap::Cpu& cpu, Kvm& kvm);

/// kvm_age_hva(): clears the accessed bits of the range. True if any was set.
bool kvm_age_hva(rmap::Cpu& cpu, Kvm& kvm, rmap::VirtRange range);

/// kvm_set_spte_hva(): what maps the page of `address` is removed if the process may write to the
/// new page `pte`, and otherwise maps the new page, which has `generation`, read-only.
NeedFlush kvm_set_spte_hva(rmap::Cpu& cpu, Kvm& kvm, rmap::VirtAddr address, rmap::Pte pte,
                           rmap::Generation generation);

/// mmu_set_spte() at a 4 KiB entry of a user slot: maps `page` there for `address`, flushes the
/// VM's TLBs if the entry said something else before, and drops the reference to the page.
void mmu_set_spte(rmap::Cpu& cpu, Kvm& kvm, rmap::GuestPhysAddr address,
                  const rmap::UserPage& page);

}  // namespace mmusim::notifiers
