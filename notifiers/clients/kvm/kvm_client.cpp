// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_client.hpp"

#include "notifiers/clients/kvm/kvm_mmu.hpp"
#include "notifiers/clients/kvm/kvm_requests.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::Event;
using rmap::Generation;
using rmap::InjectedFault;
using rmap::MmId;
using rmap::NotifierRange;
using rmap::Part;
using rmap::Pte;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

rmap::EventArguments client_range(const Kvm& kvm, VirtRange range) {
    return {kvm.config.client, kvm.config.mm, range.start.value, range.end.value};
}

}  // namespace

// ---- mmu_notifier_count and mmu_notifier_seq; mmu_lock held ----

void KvmClient::emit_count(Cpu& cpu) {
    cpu.emit(Event::kClientCount, {kvm_.config.client, kvm_.config.mm, count_, sequence_});
}

void KvmClient::raise_count(Cpu& cpu) {
    count_ = cpu.memory().fetch_add(kvm_.mmu_notifier_count, 1, Part::kNotifierStart);
    emit_count(cpu);
}

/// Here v5.0 has BUG_ON(count < 0). The run goes on instead, with no section open, because the
/// monitors of the rules are there to name whoever ended a section that nobody had started.
void KvmClient::lower_count(Cpu& cpu) {
    const bool paired = count_ > 0;
    count_ = cpu.memory().fetch_add(kvm_.mmu_notifier_count, paired ? -1 : 0, Part::kNotifierEnd);
    emit_count(cpu);
}

void KvmClient::raise_sequence(Cpu& cpu, Part part) {
    sequence_ = cpu.memory().fetch_add(kvm_.mmu_notifier_seq, 1, part);
    emit_count(cpu);
}

/// The flush is under mmu_lock: nobody may reuse an entry that a vCPU can still have in its TLB.
void KvmClient::unmap_and_flush(Cpu& cpu, VirtRange range) {
    NeedFlush flush = kvm_unmap_hva_range(cpu, kvm_, range);
    // Somebody has removed entries and left the flush to whoever flushes next.
    if (cpu.memory().load(kvm_.tlbs_dirty, Part::kSecondStage).value != 0) flush = NeedFlush::kYes;
    if (flush == NeedFlush::kYes) kvm_flush_remote_tlbs(cpu, kvm_);
    cpu.emit(Event::kClientZapped, client_range(kvm_, range));
}

// ---- kvm_mmu_notifier_* ----

StartResult KvmClient::invalidate_range_start(Cpu& cpu, const NotifierRange& range) {
    MMUSIM_CHECK(range.mm == kvm_.config.mm, "registered for the process of the VM");
    const auto [start, end] = range.range;
    cpu.emit(Event::kKvmMnStart, {range.mm, start.value, end.value});
    cpu.emit(Event::kClientStart, client_range(kvm_, range.range));
    const bool count_late = kvm_.config.fault == InjectedFault::kZapBeforeCount;
    kvm_.mmu_lock.lock(cpu);
    // Before anything is removed: a fault that is on its way must not put it back (N9).
    if (!count_late) raise_count(cpu);
    unmap_and_flush(cpu, range.range);
    kvm_.mmu_lock.unlock(cpu);
    if (count_late) {
        kvm_.mmu_lock.lock(cpu);
        raise_count(cpu);
        kvm_.mmu_lock.unlock(cpu);
    }
    cpu.emit(Event::kClientStartRet, client_range(kvm_, range.range));
    cpu.emit(Event::kKvmMnStartRet);
    return StartResult::kDone;
}

void KvmClient::invalidate_range_end(Cpu& cpu, const NotifierRange& range) {
    const auto [start, end] = range.range;
    cpu.emit(Event::kKvmMnEnd, {range.mm, start.value, end.value});
    kvm_.mmu_lock.lock(cpu);
    // A fault that has read the old tables must not see the count at 0 with the sequence that it
    // knows, so the sequence is first (N8). Both are stores to one line: smp_wmb() needs no time.
    const bool count_first = kvm_.config.fault == InjectedFault::kCountBeforeSequence;
    if (count_first) lower_count(cpu);
    raise_sequence(cpu, Part::kNotifierEnd);
    if (!count_first) lower_count(cpu);
    kvm_.mmu_lock.unlock(cpu);
    cpu.emit(Event::kClientEnd, client_range(kvm_, range.range));
    cpu.emit(Event::kKvmMnEndRet);
}

bool KvmClient::clear_flush_young(Cpu& cpu, MmId mm, VirtRange range) {
    cpu.emit(Event::kKvmMnClearFlushYoung, {mm, range.start.value, range.end.value});
    kvm_.mmu_lock.lock(cpu);
    const bool young = kvm_age_hva(cpu, kvm_, range);
    if (young) kvm_flush_remote_tlbs(cpu, kvm_);
    kvm_.mmu_lock.unlock(cpu);
    cpu.emit(Event::kKvmMnClearFlushYoungRet, {young});
    return young;
}

bool KvmClient::clear_young(Cpu& cpu, MmId mm, VirtRange range) {
    cpu.emit(Event::kKvmMnClearYoung, {mm, range.start.value, range.end.value});
    kvm_.mmu_lock.lock(cpu);
    const bool young = kvm_age_hva(cpu, kvm_, range);
    kvm_.mmu_lock.unlock(cpu);
    cpu.emit(Event::kKvmMnClearYoungRet, {young});
    return young;
}

void KvmClient::change_pte(Cpu& cpu, MmId mm, VirtAddr address, Pte pte, Generation generation) {
    cpu.emit(Event::kKvmMnChangePte, {mm, address.value, pte.raw()});
    kvm_.mmu_lock.lock(cpu);
    raise_sequence(cpu, Part::kNotifierChangePte);
    if (kvm_set_spte_hva(cpu, kvm_, address, pte, generation) == NeedFlush::kYes)
        kvm_flush_remote_tlbs(cpu, kvm_);
    kvm_.mmu_lock.unlock(cpu);
}

void KvmClient::release(Cpu& cpu, MmId) {
    kvm_.mmu_lock.lock(cpu);
    kvm_.released = true;
    if (kvm_mmu_zap_all(cpu, kvm_) == NeedFlush::kYes) kvm_flush_remote_tlbs(cpu, kvm_);
    kvm_.mmu_lock.unlock(cpu);
}

}  // namespace mmusim::notifiers
