// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::FrameAllocator;
using rmap::FrameNumber;
using rmap::GuestPhysAddr;
using rmap::PhysAddr;
using rmap::PhysMemPort;

Kvm::Kvm(const KvmConfig& kvm_config, FrameAllocator& frame_allocator,
         rmap::CallFunctionPort& call_port, rmap::UserPagePort& user_pages)
    : Kvm(kvm_config, frame_allocator, call_port, user_pages, frame_allocator.allocate_line()) {}

Kvm::Kvm(const KvmConfig& kvm_config, FrameAllocator& frame_allocator,
         rmap::CallFunctionPort& call_port, rmap::UserPagePort& user_pages, PhysAddr words)
    : config(kvm_config),
      calls(call_port),
      users(user_pages),
      mmu_lock(frame_allocator.allocate_line()),
      mmu_notifier_seq(words),
      mmu_notifier_count(words + 8),
      tlbs_dirty(words + 16),
      table(frame_allocator),
      frames_(frame_allocator) {
    MMUSIM_CHECK(config.vm != 0, "VPID 0 is the host");
}

void Kvm::add_slot(const Memslot& slot) {
    MMUSIM_CHECK(slot.pages > 0 && slot.first.value % rmap::kPageSize == 0,
                 "a slot consists of whole pages");
    const bool free = std::none_of(slots.begin(), slots.end(),
                                   [&](const Memslot& other) { return other.overlaps(slot); });
    MMUSIM_CHECK(free, "slots of a VM do not overlap");
    slots.push_back(slot);
}

void Kvm::add_user_slot(PhysMemPort& memory, GuestPhysAddr first, rmap::VirtRange range) {
    MMUSIM_CHECK(
        rmap::page_start(range.start) == range.start && rmap::page_start(range.end) == range.end,
        "a slot consists of whole pages");
    add_slot({first, range.pages(), range.start});
    table.add_tables(memory, first, range.pages());
}

void Kvm::add_fixed_slot(PhysMemPort& memory, GuestPhysAddr first, FrameNumber frame,
                         std::uint64_t pages) {
    add_slot({first, pages, {}});
    table.map_fixed(memory, first, frame, pages);
}

KvmVcpu& Kvm::create_vcpu(rmap::CpuId cpu, GuestPhysAddr cr3) {
    return vcpus.emplace_back(
        KvmVcpu{static_cast<unsigned>(vcpus.size()), cpu, cr3, frames_.allocate_line(), {}});
}

const Memslot& Kvm::slot_of(GuestPhysAddr address) const {
    const auto it = std::find_if(slots.begin(), slots.end(),
                                 [&](const Memslot& slot) { return slot.contains(address); });
    MMUSIM_CHECK(it != slots.end(), "a guest touches only memory of its VM");
    return *it;
}

}  // namespace mmusim::notifiers
