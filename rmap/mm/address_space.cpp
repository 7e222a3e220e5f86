// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/address_space.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

void i_mmap_lock_write(Cpu& cpu, AddressSpace& mapping) {
    mapping.i_mmap_rwsem.lock_write(cpu);
    cpu.emit(Event::kRmapLock, {mapping.i_mmap_rwsem.word().value});
}

void i_mmap_unlock_write(Cpu& cpu, AddressSpace& mapping) {
    cpu.emit(Event::kRmapUnlock, {mapping.i_mmap_rwsem.word().value});
    mapping.i_mmap_rwsem.unlock_write(cpu);
}

void i_mmap_lock_read(Cpu& cpu, AddressSpace& mapping) {
    mapping.i_mmap_rwsem.lock_read(cpu);
    cpu.emit(Event::kRmapLock, {mapping.i_mmap_rwsem.word().value});
}

void i_mmap_unlock_read(Cpu& cpu, AddressSpace& mapping) {
    cpu.emit(Event::kRmapUnlock, {mapping.i_mmap_rwsem.word().value});
    mapping.i_mmap_rwsem.unlock_read(cpu);
}

Page* find_get_page(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, std::uint64_t index,
                    Part part) {
    const PhysAddr slot = mapping.slot(index);
    while (const std::uint64_t frame = cpu.memory().load(slot, part).value) {
        Page& page = kernel.pages.pfn_to_page({frame});
        // A frozen page is on its way out: its slot is about to be emptied.
        if (!page.get_unless_zero(cpu)) continue;
        if (cpu.memory().load(slot, part).value == frame) return &page;
        put_page(cpu, kernel, page);
    }
    return nullptr;
}

bool add_to_page_cache_lru(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page,
                           std::uint64_t index) {
    {
        const InterruptsOff irq(cpu.time());
        mapping.xa_lock.lock(cpu);
        const PhysAddr slot = mapping.slot(index);
        const bool taken = cpu.memory().load(slot, Part::kFault).value != 0;
        if (!taken) {
            page.index = index;
            page.add_refcount(cpu, 1);
            page.set_mapping(cpu, mapping.mapping());
            cpu.memory().store(slot, {page.pfn().value, 0}, Part::kFault);
        }
        mapping.xa_lock.unlock(cpu);
        if (taken) return false;
    }
    kernel.lru.lru_cache_add(cpu, page);
    return true;
}

}  // namespace mmusim::rmap
