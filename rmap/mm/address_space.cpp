// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/address_space.hpp"

#include <algorithm>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t kValueEntry = 1ull << 63;

SwapEntry radix_to_swp_entry(std::uint64_t entry) {
    return SwapEntry::from_value(entry & ~kValueEntry);
}

}  // namespace

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

AddressSpace* page_mapping(Cpu& cpu, KernelState& kernel, const Page& page) {
    if (page.test(cpu, PageFlag::kSwapCache)) return &kernel.swap.cache;
    const PageMapping mapping = page.mapping(cpu);
    return mapping.null() || mapping.anon() ? nullptr : &kernel.file_of(mapping);
}

Word swap_value_entry(SwapEntry entry) { return {kValueEntry | entry.value(), 0}; }

PageCacheEntry find_get_entry(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping,
                              std::uint64_t index, Part part) {
    if (index >= mapping.pages) return {index, nullptr, {}};
    const PhysAddr slot = mapping.slot(index);
    while (const std::uint64_t entry = cpu.memory().load(slot, part).value) {
        if (entry & kValueEntry) return {index, nullptr, radix_to_swp_entry(entry)};
        Page& page = kernel.pages.pfn_to_page({entry});
        // A frozen page is on its way out: its slot is about to be emptied.
        if (!page.get_unless_zero(cpu)) continue;
        if (cpu.memory().load(slot, part).value == entry) return {index, &page, {}};
        put_page(cpu, kernel, page);
    }
    return {index, nullptr, {}};
}

Page* find_get_page(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, std::uint64_t index,
                    Part part) {
    return find_get_entry(cpu, kernel, mapping, index, part).page;
}

std::vector<PageCacheEntry> pagevec_lookup_entries(Cpu& cpu, KernelState& kernel,
                                                   const AddressSpace& mapping, PageRange range,
                                                   Part part) {
    std::vector<PageCacheEntry> found;
    range.last = std::min(range.last, mapping.pages);
    for (; range.first <= range.last && found.size() < kPagevecSize; ++range.first) {
        const PageCacheEntry entry = find_get_entry(cpu, kernel, mapping, range.first, part);
        if (entry.page || entry.swap) found.push_back(entry);
    }
    return found;
}

std::vector<Page*> pagevec_lookup_range_tag(Cpu& cpu, KernelState& kernel,
                                            const AddressSpace& mapping, PageRange& range,
                                            PageFlag flag, Part part) {
    std::vector<Page*> found;
    range.last = std::min(range.last, mapping.pages);
    for (; range.first <= range.last && found.size() < kPagevecSize; ++range.first) {
        Page* page = find_get_page(cpu, kernel, mapping, range.first, part);
        if (!page) continue;
        if (page->test(cpu, flag, part))
            found.push_back(page);
        else
            put_page(cpu, kernel, *page);
    }
    return found;
}

bool mapping_tagged(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, PageFlag flag,
                    Part part) {
    for (std::uint64_t index = 0; index < mapping.pages; ++index) {
        const std::uint64_t entry = cpu.memory().load(mapping.slot(index), part).value;
        if (!entry || entry & kValueEntry) continue;
        if (kernel.pages.pfn_to_page({entry}).test(cpu, flag, part)) return true;
    }
    return false;
}

bool add_to_page_cache(Cpu& cpu, AddressSpace& mapping, Page& page, std::uint64_t index,
                       Word expected) {
    const InterruptsOff irq(cpu.time());
    mapping.xa_lock.lock(cpu);
    const PhysAddr slot = mapping.slot(index);
    const bool free = cpu.memory().load(slot, Part::kFault).value == expected.value;
    if (free) {
        page.index = index;
        page.add_refcount(cpu, 1);
        page.set_mapping(cpu, mapping.mapping());
        cpu.memory().store(slot, {page.pfn().value, 0}, Part::kFault);
    }
    mapping.xa_lock.unlock(cpu);
    return free;
}

bool add_to_page_cache_lru(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page,
                           std::uint64_t index) {
    if (!add_to_page_cache(cpu, mapping, page, index)) return false;
    lru_cache_add(cpu, kernel, page);
    return true;
}

void delete_from_page_cache(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page,
                            Word left) {
    {
        const InterruptsOff irq(cpu.time());
        mapping.xa_lock.lock(cpu);
        cpu.spend(cpu.costs().remove_mapping, Part::kRemoveMapping);
        cpu.memory().store(mapping.slot(page.index), left, Part::kRemoveMapping);
        page.set_mapping(cpu, {});
        mapping.xa_lock.unlock(cpu);
    }
    put_page(cpu, kernel, page);
}

}  // namespace mmusim::rmap
