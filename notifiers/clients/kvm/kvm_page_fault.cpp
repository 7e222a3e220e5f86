// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_page_fault.hpp"

#include "notifiers/clients/kvm/kvm_mmu.hpp"
#include "notifiers/clients/kvm/kvm_requests.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::Event;
using rmap::InjectedFault;
using rmap::Part;
using rmap::VirtAddr;

namespace {

constexpr std::uint64_t kEfault = 14;

/// One fault on its way through the handler.
struct TdpFault {
    Cpu& cpu;
    Kvm& kvm;
    KvmVcpu& vcpu;
    rmap::GuestPhysAddr address;
    VirtAddr hva;  ///< of the page
    rmap::Access access;
    std::uint64_t mmu_seq = 0;

    rmap::MmId mm() const { return kvm.config.mm; }
    std::uint64_t client() const { return kvm.config.client; }
};

/// The snapshot is read before the page is looked up (smp_rmb()). Both are loads in simulated
/// memory at ascending local times, and a load sees all that was serialised a coherence latency
/// before it: whoever sees the raised sequence sees every entry that was cleared before it.
void read_sequence(TdpFault& fault) {
    fault.mmu_seq = fault.cpu.memory().load(fault.kvm.mmu_notifier_seq, Part::kSecondStage).value;
    fault.cpu.emit(Event::kKvmSequenceRead,
                   {fault.client(), fault.mm(), fault.hva.value, fault.mmu_seq});
}

/// mmu_notifier_retry(): the page may have been looked up in a section. mmu_lock held.
bool mmu_notifier_retry(TdpFault& fault) {
    Kvm& kvm = fault.kvm;
    if (kvm.config.fault == InjectedFault::kSkipRetryCheck) return false;
    const auto load = [&](rmap::PhysAddr word) {
        return fault.cpu.memory().load(word, Part::kSecondStage).value;
    };
    const std::uint64_t count = load(kvm.mmu_notifier_count);
    const std::uint64_t sequence = load(kvm.mmu_notifier_seq);
    const bool open = count != 0 && kvm.config.fault != InjectedFault::kInstallInSection;
    if (!open && sequence == fault.mmu_seq) return false;
    fault.cpu.emit(Event::kKvmRetry,
                   {fault.client(), fault.mm(), fault.hva.value, count, sequence});
    ++fault.vcpu.stats.retries;
    return true;
}

/// __direct_map(), with mmu_lock held. False: the root is gone (VALID_PAGE(root_hpa)), and the
/// reference to the page is still the caller's.
bool direct_map(TdpFault& fault, const rmap::UserPage& page) {
    if (fault.kvm.released) return false;
    mmu_set_spte(fault.cpu, fault.kvm, fault.address, page);
    return true;
}

/// The part of tdp_page_fault() that maps what was looked up. A page that is not mapped is given
/// back, kvm_release_pfn_clean(), when mmu_lock is free again. So is that of a VM without a root,
/// whose reference v5.0 forgets.
KvmFault map_looked_up(TdpFault& fault, const rmap::UserPage& page) {
    Kvm& kvm = fault.kvm;
    kvm.mmu_lock.lock(fault.cpu);
    const bool retry = mmu_notifier_retry(fault);
    const bool mapped = !retry && direct_map(fault, page);
    kvm.mmu_lock.unlock(fault.cpu);
    if (mapped) return KvmFault::kRetry;
    kvm.users.put_page(fault.cpu, page.frame);
    return retry ? KvmFault::kRetry : KvmFault::kBadAddress;
}

/// The part of tdp_page_fault() from the snapshot of the sequence on.
KvmFault look_up_and_map(TdpFault& fault) {
    Kvm& kvm = fault.kvm;
    read_sequence(fault);
    const auto page = kvm.users.get_user_page(fault.cpu, fault.mm(), fault.hva, fault.access);
    if (!page) return KvmFault::kBadAddress;
    fault.cpu.emit(Event::kKvmHvaToPfn, {fault.client(), fault.mm(), fault.hva.value,
                                         page->frame.value, page->generation});
    return map_looked_up(fault, *page);
}

}  // namespace

KvmFault tdp_page_fault(Cpu& cpu, Kvm& kvm, KvmVcpu& vcpu, rmap::GuestPhysAddr address,
                        rmap::Access access) {
    const bool write = access == rmap::Access::kWrite;
    cpu.emit(Event::kKvmTdpPageFault, {kvm.config.vm, vcpu.id, address.value, write});
    cpu.spend(cpu.costs().kvm_fault, Part::kSecondStage);
    ++vcpu.stats.faults;
    const Memslot& slot = kvm.slot_of(address);

    // A fixed slot lacks an entry only after the release.
    KvmFault result = KvmFault::kBadAddress;
    if (!slot.fixed()) {
        const VirtAddr hva = rmap::page_start(slot.hva_of(address));
        TdpFault fault{cpu, kvm, vcpu, address, hva, access};
        result = look_up_and_map(fault);
    }
    const bool bad = result == KvmFault::kBadAddress;
    cpu.emit(Event::kKvmTdpPageFaultRet, {bad ? ~kEfault + 1 : 0});
    return result;
}

}  // namespace mmusim::notifiers
