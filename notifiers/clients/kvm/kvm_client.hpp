// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "notifiers/clients/kvm/kvm.hpp"
#include "notifiers/notifier_client.hpp"

namespace mmusim::notifiers {

/// kvm_mmu_notifier_ops (virt/kvm/kvm_main.c, v5.0): keeps the second-stage table of a VM true to
/// the tables of its process. Shadow client: it has no invalidate_range. Never sleeps, so whether a
/// range is blockable does not matter. Registered for the mm of the Kvm and for no other.
/// Time passes: Part::kLock, kSecondStage, kKick, kGuestExit; the words of a section's start go to
/// kNotifierStart, those of its end to kNotifierEnd, that of change_pte to kNotifierChangePte.
class KvmClient final : public NotifierClient {
public:
    /// The Kvm must outlive it.
    explicit KvmClient(Kvm& kvm) : kvm_(kvm) {}

    std::string_view name() const override { return "kvm"; }
    NotifierOps ops() const override { return {true, true, true, true, false, true, true}; }

    /// kvm_flush_shadow_all(): also the entries of fixed slots go.
    void release(rmap::Cpu& cpu, rmap::MmId mm) override;
    StartResult invalidate_range_start(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    void invalidate_range_end(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    /// True also asks every vCPU to flush: its TLB would not set the accessed bit again.
    bool clear_flush_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    /// No vCPU is asked to flush: "young" may be late.
    bool clear_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    /// Raises the sequence. The start of the section has removed the entries already, so it finds
    /// none as a rule, and asks for no flush then.
    void change_pte(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtAddr address, rmap::Pte pte,
                    rmap::Generation generation) override;

private:
    void raise_count(rmap::Cpu& cpu);
    void lower_count(rmap::Cpu& cpu);
    void raise_sequence(rmap::Cpu& cpu, rmap::Part part);
    void unmap_and_flush(rmap::Cpu& cpu, rmap::VirtRange range);
    void emit_count(rmap::Cpu& cpu);

    Kvm& kvm_;

    // What the words hold, for the events. mmu_lock.
    std::uint64_t count_ = 0;
    std::uint64_t sequence_ = 0;
};

}  // namespace mmusim::notifiers
