// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_mmu.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::EptEntry;
using rmap::Event;
using rmap::GuestPhysAddr;
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

NeedFlush unmap_slot(Cpu& cpu, Kvm& kvm, const Memslot& slot, const Memslot::Part& part) {
    NeedFlush flush = NeedFlush::kNo;
    kvm.table.for_each_leaf(cpu, part.first, part.pages, [&](const Leaf& leaf) {
        if (drop_spte(cpu, kvm, slot, leaf)) flush = NeedFlush::kYes;
    });
    return flush;
}

}  // namespace

NeedFlush kvm_unmap_hva_range(Cpu& cpu, Kvm& kvm, rmap::VirtRange range) {
    NeedFlush flush = NeedFlush::kNo;
    for (const Memslot& slot : kvm.slots)
        if (unmap_slot(cpu, kvm, slot, slot.backed_by(range)) == NeedFlush::kYes)
            flush = NeedFlush::kYes;
    return flush;
}

NeedFlush kvm_mmu_zap_all(Cpu& cpu, Kvm& kvm) {
    NeedFlush flush = NeedFlush::kNo;
    for (const Memslot& slot : kvm.slots)
        if (unmap_slot(cpu, kvm, slot, {slot.first, slot.pages}) == NeedFlush::kYes)
            flush = NeedFlush::kYes;
    return flush;
}

bool kvm_age_hva(Cpu& cpu, Kvm& kvm, rmap::VirtRange range) {
    bool young = false;
    for (const Memslot& slot : kvm.slots) {
        const Memslot::Part part = slot.backed_by(range);
        kvm.table.for_each_leaf(cpu, part.first, part.pages, [&](const Leaf& leaf) {
            const EptEntry entry = SecondStageTable::read(cpu, leaf);
            if (!entry.accessed()) return;
            young = true;
            SecondStageTable::clear_accessed(cpu, leaf);
            cpu.emit(Event::kSpteAge, {kvm.config.client, kvm.config.mm,
                                       slot.hva_of(leaf.first).value, entry.raw()});
        });
    }
    return young;
}

NeedFlush mmu_set_spte(Cpu& cpu, Kvm& kvm, GuestPhysAddr address, const rmap::UserPage& page) {
    const Leaf leaf = kvm.table.leaf(address);
    const VirtAddr hva = kvm.slot_of(address).hva_of(leaf.first);
    // set_spte(): the guest is about to use it, so it starts accessed; and dirty if it may be
    // written, which spares the walker the update.
    const std::uint64_t used = EptEntry::kAccessed | (page.writable ? EptEntry::kDirty : 0);
    const EptEntry entry = EptEntry::leaf(page.frame, page.writable).with(used);
    const Word replaced = SecondStageTable::exchange(cpu, leaf, entry, page.generation);
    const EptEntry old{replaced.value};

    NeedFlush flush = NeedFlush::kNo;
    if (old.present() && old.frame() != page.frame) {
        emit_clear(cpu, kvm, hva, replaced);
        track_bits(cpu, kvm, old);
        flush = NeedFlush::kYes;
    } else if (old.writable() && !page.writable) {
        // mmu_spte_update(): another vCPU has got the page writable in the meantime.
        if (old.dirty()) kvm.users.set_page_dirty_flag(cpu, old.frame());
        flush = NeedFlush::kYes;
    }
    cpu.emit(Event::kSpteSet, {kvm.config.client, kvm.config.mm, hva.value, entry.raw(),
                               page.frame.value, page.generation});
    return flush;
}

}  // namespace mmusim::notifiers
