// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_mmu.hpp"

#include "notifiers/clients/kvm/kvm_requests.hpp"
#include "rmap/types/function_ref.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::EptEntry;
using rmap::Event;
using rmap::Generation;
using rmap::GuestPhysAddr;
using rmap::Pte;
using rmap::VirtAddr;
using rmap::Word;

namespace {

using Leaf = SecondStageTable::Leaf;

/// The tail of mmu_spte_clear_track_bits(): a page learns what the walker has noted in an entry
/// that does not map it any more.
void track_bits(Cpu& cpu, Kvm& kvm, EptEntry old) {
    if (old.accessed()) kvm.users.mark_page_accessed(cpu, old.frame());
    if (old.dirty()) kvm.users.set_page_dirty_flag(cpu, old.frame());
}

void emit_clear(Cpu& cpu, const Kvm& kvm, VirtAddr hva, Word old) {
    cpu.emit(Event::kSpteClear, {kvm.config.client, kvm.config.mm, hva.value, old.value,
                                 EptEntry{old.value}.frame().value, old.generation});
}

/// drop_spte(). False: nothing was mapped.
bool drop_spte(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Leaf& leaf) {
    if (!SecondStageTable::read(cpu, leaf).present()) return false;
    const Word old = SecondStageTable::exchange(cpu, leaf, {}, 0);
    if (slot.fixed()) return true;
    emit_clear(cpu, kvm, slot.hva_of(leaf.first), old);
    track_bits(cpu, kvm, EptEntry{old.value});
    return true;
}

/// What kvm_handle_hva_range() does with each leaf of the range; the answers are ORed.
using RmappHandler = rmap::FunctionRef<bool(Cpu&, Kvm&, const Memslot&, const Leaf&)>;

/// True: an entry was there, so the caller must flush.
bool kvm_unmap_rmapp(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Leaf& leaf) {
    return drop_spte(cpu, kvm, slot, leaf);
}

/// True: young. The entry stays, and so does what TLBs hold of it.
bool kvm_age_rmapp(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Leaf& leaf) {
    const EptEntry entry = SecondStageTable::read(cpu, leaf);
    if (!entry.accessed()) return false;
    SecondStageTable::clear_accessed(cpu, leaf);
    cpu.emit(Event::kSpteAge,
             {kvm.config.client, kvm.config.mm, slot.hva_of(leaf.first).value, entry.raw()});
    return true;
}

/// kvm_set_pte_rmapp(). True: an entry was there.
bool kvm_set_pte_rmapp(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Leaf& leaf, Pte pte,
                       Generation generation) {
    if (pte.writable()) return drop_spte(cpu, kvm, slot, leaf);
    const EptEntry entry = SecondStageTable::read(cpu, leaf);
    if (!entry.present()) return false;
    // Not accessed, as mark_spte_for_access_track() leaves it: nobody has used the new page yet.
    const EptEntry changed =
        entry.without(EptEntry::kFrameMask | EptEntry::kWrite | EptEntry::kAccessed)
            .with(rmap::address_of(pte.frame()).value);
    const Word old = SecondStageTable::exchange(cpu, leaf, changed, generation);
    const VirtAddr hva = slot.hva_of(leaf.first);
    emit_clear(cpu, kvm, hva, old);
    track_bits(cpu, kvm, EptEntry{old.value});
    cpu.emit(Event::kSpteSet, {kvm.config.client, kvm.config.mm, hva.value, changed.raw(),
                               pte.frame().value, generation});
    return true;
}

bool for_each_slot_rmap_range(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Memslot::Part& part,
                              RmappHandler handler) {
    bool ret = false;
    kvm.table.for_each_leaf(cpu, part.first, part.pages, [&](const Leaf& leaf) {
        if (handler(cpu, kvm, slot, leaf)) ret = true;
    });
    return ret;
}

bool kvm_handle_hva_range(Cpu& cpu, Kvm& kvm, rmap::VirtRange range, RmappHandler handler) {
    bool ret = false;
    for (const Memslot& slot : kvm.slots)
        if (for_each_slot_rmap_range(cpu, kvm, slot, slot.backed_by(range), handler)) ret = true;
    return ret;
}

/// set_spte(). True: another vCPU had the page writable, and its TLB may still say so.
bool set_spte(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Leaf& leaf,
              const rmap::UserPage& page) {
    // The guest is about to use it, so it starts accessed; and dirty if it may be written, which
    // spares the walker the update.
    const std::uint64_t used = EptEntry::kAccessed | (page.writable ? EptEntry::kDirty : 0);
    const EptEntry entry = EptEntry::leaf(page.frame, page.writable).with(used);
    const EptEntry old{SecondStageTable::exchange(cpu, leaf, entry, page.generation).value};
    // mmu_spte_update()
    const bool flush = old.writable() && !page.writable;
    if (flush && old.dirty()) kvm.users.set_page_dirty_flag(cpu, old.frame());
    cpu.emit(Event::kSpteSet, {kvm.config.client, kvm.config.mm, slot.hva_of(leaf.first).value,
                               entry.raw(), page.frame.value, page.generation});
    return flush;
}

NeedFlush need_flush(bool flush) { return flush ? NeedFlush::kYes : NeedFlush::kNo; }

}  // namespace

NeedFlush kvm_unmap_hva_range(Cpu& cpu, Kvm& kvm, rmap::VirtRange range) {
    return need_flush(kvm_handle_hva_range(cpu, kvm, range, &kvm_unmap_rmapp));
}

bool kvm_age_hva(Cpu& cpu, Kvm& kvm, rmap::VirtRange range) {
    return kvm_handle_hva_range(cpu, kvm, range, &kvm_age_rmapp);
}

NeedFlush kvm_set_spte_hva(Cpu& cpu, Kvm& kvm, VirtAddr address, Pte pte, Generation generation) {
    const auto handler = [&](Cpu& on, Kvm& vm, const Memslot& slot, const Leaf& leaf) {
        return kvm_set_pte_rmapp(on, vm, slot, leaf, pte, generation);
    };
    return need_flush(
        kvm_handle_hva_range(cpu, kvm, {address, address + rmap::kPageSize}, handler));
}

/// Fixed slots have no hva and are reached in no other way.
NeedFlush kvm_mmu_zap_all(Cpu& cpu, Kvm& kvm) {
    bool removed = false;
    for (const Memslot& slot : kvm.slots) {
        const Memslot::Part all{slot.first, slot.pages};
        if (for_each_slot_rmap_range(cpu, kvm, slot, all, &kvm_unmap_rmapp)) removed = true;
    }
    return need_flush(removed);
}

void mmu_set_spte(Cpu& cpu, Kvm& kvm, GuestPhysAddr address, const rmap::UserPage& page) {
    const Memslot& slot = kvm.slot_of(address);
    const Leaf leaf = kvm.table.leaf(address);
    bool flush = false;
    const EptEntry old = SecondStageTable::read(cpu, leaf);
    if (old.present() && old.frame() != page.frame) flush = drop_spte(cpu, kvm, slot, leaf);
    if (set_spte(cpu, kvm, slot, leaf, page)) flush = true;
    if (flush) kvm_flush_remote_tlbs(cpu, kvm);
    // kvm_release_pfn_clean(): the entry is kept true by the notifiers, not by a reference.
    kvm.users.put_page(cpu, page.frame);
}

}  // namespace mmusim::notifiers
