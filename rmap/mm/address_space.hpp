// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rmap/mm/interval_tree.hpp"
#include "rmap/mm/page.hpp"
#include "rmap/mm/vma.hpp"

namespace mmusim::rmap {

struct KernelState;

/// Whose address_space_operations a page cache has.
enum class FileKind {
    kExt4,   ///< a file on the disk
    kShmem,  ///< tmpfs, memfd, shared anonymous memory: nothing but swap is behind it
    kSwap,   ///< swapper_spaces
};

/// Pages of a file, the last one included.
struct PageRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

/// The last page of a range that has no end.
inline constexpr std::uint64_t kToTheEnd = ~std::uint64_t{0};

/// struct address_space: the pages of a file, or of the swap device, and who maps them. The slots
/// of the page cache are words, because they are looked up without a lock.
struct AddressSpace {
    AddressSpace(std::string file_name, FileKind file_kind, std::uint64_t size,
                 KernelMemory& memory)
        : name(std::move(file_name)),
          kind(file_kind),
          pages(size),
          i_mmap_rwsem(memory.allocate_line()),
          i_mmap_sem(memory.allocate_line()),
          xa_lock(memory.allocate_line()),
          truncated(memory.allocate_line()),
          i_pages(memory.allocate_words(size)) {}

    const std::string name;
    const FileKind kind;
    const std::uint64_t pages;  ///< the size that it was made with; it never grows beyond

    RwLock i_mmap_rwsem;
    IntervalTree<Vma> i_mmap;  ///< i_mmap_rwsem

    /// EXT4_I(inode)->i_mmap_sem: no fault brings back what is being taken out. Outside all page
    /// locks, inside mmap_sem.
    RwLock i_mmap_sem;

    Lock xa_lock;              ///< of i_pages; taken with interrupts off
    const PhysAddr truncated;  ///< word: pages that were cut off the end
    /// Word per page: its frame; of shmem also the swap entry that the page went to, as a value
    /// entry; or 0.
    const PhysAddr i_pages;

    /// What page->mapping of its pages holds.
    PageMapping mapping() const { return {i_mmap_rwsem.word().value}; }
    PhysAddr slot(std::uint64_t index) const { return i_pages + 8 * index; }
    PageRange all() const { return {0, pages - 1}; }
    /// i_size_read(), in pages.
    std::uint64_t i_size(Cpu& cpu, Part part) const {
        return pages - cpu.memory().load(truncated, part).value;
    }
    /// mapping_cap_account_dirty(): dirty pages are counted and written back, so who dirties them
    /// has to be known; clean ones are write-protected in shared mappings.
    bool account_dirty() const { return kind == FileKind::kExt4; }
};

void i_mmap_lock_write(Cpu& cpu, AddressSpace& mapping);
void i_mmap_unlock_write(Cpu& cpu, AddressSpace& mapping);
void i_mmap_lock_read(Cpu& cpu, AddressSpace& mapping);
void i_mmap_unlock_read(Cpu& cpu, AddressSpace& mapping);

/// page_mapping(): the swap cache, or the file; nullptr for an anonymous page and for one that has
/// left its file.
AddressSpace* page_mapping(Cpu& cpu, KernelState& kernel, const Page& page);

/// What a slot holds: a page with a reference, a swap entry, or neither.
struct PageCacheEntry {
    std::uint64_t index = 0;
    Page* page = nullptr;
    std::optional<SwapEntry> swap;
};

/// The value entry for a page of shmem that went to swap (swp_to_radix_entry()).
Word swap_value_entry(SwapEntry entry);

/// find_get_entry(): takes a reference, not the page lock. The caller locks the page and looks
/// again whether it is still the right one. Behind the end of the file there is nothing.
PageCacheEntry find_get_entry(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping,
                              std::uint64_t index, Part part);

/// find_get_page(): the same; nullptr if the slot holds no page.
Page* find_get_page(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, std::uint64_t index,
                    Part part);

/// pagevec_lookup_entries(): the first PAGEVEC_SIZE slots of a range that are not empty.
std::vector<PageCacheEntry> pagevec_lookup_entries(Cpu& cpu, KernelState& kernel,
                                                   const AddressSpace& mapping, PageRange range,
                                                   Part part);

/// mapping_tagged(): whether a page of the file has `flag`. There are no tags: it looks at every
/// slot.
bool mapping_tagged(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, PageFlag flag,
                    Part part);

/// pagevec_lookup_range_tag(): the first PAGEVEC_SIZE pages of a range that have `flag`. The range
/// then begins behind the last of them.
std::vector<Page*> pagevec_lookup_range_tag(Cpu& cpu, KernelState& kernel,
                                            const AddressSpace& mapping, PageRange& range,
                                            PageFlag flag, Part part);

/// add_to_page_cache_locked(), shmem_add_to_page_cache(): enters a locked page into a slot that
/// holds `expected`. False if it does not (any more).
bool add_to_page_cache(Cpu& cpu, AddressSpace& mapping, Page& page, std::uint64_t index,
                       Word expected = {});

/// add_to_page_cache_lru(): enters a new, locked page and puts it on the inactive list. Returns
/// false if somebody else was faster.
bool add_to_page_cache_lru(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page,
                           std::uint64_t index);

/// delete_from_page_cache() and shmem_delete_from_page_cache(): a locked page leaves its file;
/// `left` is what its slot holds from then on. Drops the cache's reference.
void delete_from_page_cache(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page,
                            Word left = {});

}  // namespace mmusim::rmap
