// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "rmap/mm/interval_tree.hpp"
#include "rmap/mm/page.hpp"
#include "rmap/mm/vma.hpp"

namespace mmusim::rmap {

struct KernelState;

/// struct address_space: the pages of a file, or of the swap device, and who maps them. The slots
/// of the page cache are words, because they are looked up without a lock.
struct AddressSpace {
    AddressSpace(std::string file_name, std::uint64_t size, KernelMemory& memory)
        : name(std::move(file_name)),
          pages(size),
          i_mmap_rwsem(memory.allocate_line()),
          xa_lock(memory.allocate_line()),
          i_pages(memory.allocate_words(size)) {}

    const std::string name;
    const std::uint64_t pages;

    RwLock i_mmap_rwsem;
    IntervalTree<Vma> i_mmap;  ///< i_mmap_rwsem

    Lock xa_lock;            ///< of i_pages; taken with interrupts off
    const PhysAddr i_pages;  ///< word per page: its frame, or 0

    /// What page->mapping of its pages holds.
    PageMapping mapping() const { return {i_mmap_rwsem.word().value}; }
    PhysAddr slot(std::uint64_t index) const { return i_pages + 8 * index; }
};

void i_mmap_lock_write(Cpu& cpu, AddressSpace& mapping);
void i_mmap_unlock_write(Cpu& cpu, AddressSpace& mapping);
void i_mmap_lock_read(Cpu& cpu, AddressSpace& mapping);
void i_mmap_unlock_read(Cpu& cpu, AddressSpace& mapping);

/// find_get_page(): takes a reference, not the page lock; nullptr if the slot is empty. The caller
/// locks the page and looks again whether it is still the right one.
Page* find_get_page(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, std::uint64_t index,
                    Part part);

/// add_to_page_cache_lru(): enters a new, locked page and puts it on the inactive list. Returns
/// false if somebody else was faster.
bool add_to_page_cache_lru(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page,
                           std::uint64_t index);

}  // namespace mmusim::rmap
