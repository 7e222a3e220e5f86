// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/page.hpp"
#include "rmap/types/swap_device.hpp"

namespace mmusim::rmap {

struct KernelState;

struct SwapConfig {
    std::uint64_t slots = 0;  ///< 0: no swap
    /// Highest map count of a slot: the kernel counts beyond 62 in continuation pages, which may
    /// be unavailable. swap_duplicate() then fails.
    unsigned max_map_count = 0xffff;
    SwapDevice device = SwapDevice::kZram;
};

/// A swap device (struct swap_info_struct) with its part of the swap cache.
/// Does not model: slot caches per CPU, clusters, reclaim of cached slots by who looks for a free
/// one.
class SwapSpace {
public:
    /// Set-up.
    SwapSpace(KernelMemory& memory, const SwapConfig& config);

    /// swapper_spaces: slot n of its i_pages is the page that caches entry n.
    AddressSpace cache;
    const SwapDevice device;

    /// Words of swap_cluster_readahead(): what it goes by.
    struct ClusterReadahead {
        explicit ClusterReadahead(PhysAddr line)
            : hits(line), last_pages(line + 8), prev_offset(line + 16) {}
        const PhysAddr hits;         ///< swapin_readahead_hits, counted from its initial value
        const PhysAddr last_pages;   ///< last_readahead_pages
        const PhysAddr prev_offset;  ///< of who had no hits to judge by
    };
    const ClusterReadahead cluster_readahead;

    /// total_swap_pages
    std::uint64_t total() const { return swap_map_.size(); }
    /// get_nr_swap_pages(): free slots.
    std::uint64_t nr_free(Cpu& cpu);
    /// vm_swap_full(): more than half is used, so slots of pages that are in memory are taken back.
    bool vm_swap_full(Cpu& cpu);

    /// get_swap_page(): a free slot that the swap cache uses; none when swap is full.
    std::optional<SwapEntry> get_swap_page(Cpu& cpu);
    /// swap_duplicate(): one more page-table entry refers to the slot. False: no memory for the
    /// count (-ENOMEM).
    bool swap_duplicate(Cpu& cpu, SwapEntry entry);
    /// add_swap_count_continuation() with GFP_KERNEL: memory for more entries that refer to the
    /// slot. No lock held.
    void add_swap_count_continuation(Cpu& cpu, SwapEntry entry);
    /// swap_shmem_alloc(): a page cache refers to the slot instead of a page table.
    void swap_shmem_alloc(Cpu& cpu, SwapEntry entry);
    /// swap_free(): one page-table entry, or the page cache's one, fewer.
    void swap_free(Cpu& cpu, SwapEntry entry);
    /// __swap_entry_free(): the same. True: only the swap cache still uses the slot.
    bool swap_entry_free(Cpu& cpu, SwapEntry entry);
    /// put_swap_page(): the cache does not use the slot any more.
    void put_swap_page(Cpu& cpu, SwapEntry entry);
    /// swapcache_prepare(): reserves the slot's place in the cache; false if it is taken.
    enum class Prepared { kYes, kBusy, kFree };
    Prepared swapcache_prepare(Cpu& cpu, SwapEntry entry);
    /// __swap_count(): page-table entries that refer to the slot.
    unsigned swap_count(Cpu& cpu, SwapEntry entry);

    /// Slots in use. For reports and tests.
    std::uint64_t used() const { return next_ - free_.size(); }

private:
    struct Slot {
        unsigned count = 0;      ///< page-table entries
        unsigned continued = 0;  ///< as many more can be counted
        bool has_cache = false;  ///< SWAP_HAS_CACHE
    };

    Slot& slot(SwapEntry entry) { return swap_map_.at(entry.offset); }
    void free_if_unused(Cpu& cpu, SwapEntry entry);

    const unsigned max_map_count_;
    PhysAddr nr_used_;  ///< word: total_swap_pages - nr_swap_pages
    Lock lock_;         ///< guards the rest
    std::vector<Slot> swap_map_;
    std::vector<std::uint64_t> free_;
    std::uint64_t next_ = 0;  ///< slots from here on were never used
};

/// add_to_swap(): gives a locked anonymous page a slot and enters it into the swap cache, dirty.
/// False if swap is full.
bool add_to_swap(Cpu& cpu, KernelState& kernel, Page& page);

/// add_to_swap_cache(): the page is locked and the slot's place is reserved.
void add_to_swap_cache(Cpu& cpu, KernelState& kernel, Page& page, SwapEntry entry);
/// delete_from_swap_cache(): page locked.
void delete_from_swap_cache(Cpu& cpu, KernelState& kernel, Page& page);
/// __delete_from_swap_cache(): xa_lock of the cache held, too.
void delete_from_swap_cache_locked(Cpu& cpu, KernelState& kernel, Page& page);

/// try_to_free_swap(): leaves the swap cache if no entry refers to the slot and the page is not
/// being written. Page locked.
bool try_to_free_swap(Cpu& cpu, KernelState& kernel, Page& page);

/// reuse_swap_page(): nobody else can see the page, so it may be written in place. Page locked.
bool reuse_swap_page(Cpu& cpu, KernelState& kernel, Page& page);

/// free_swap_and_cache(): a page-table entry for `entry` went away.
void free_swap_and_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry);

/// swap_writepage(): writes a locked page out and unlocks it, unless nobody needs its slot any
/// more. From the start of the write on, what is stored through an old translation is lost. To a
/// disk it only submits the write: the page is under write-back on return.
void swap_writepage(Cpu& cpu, KernelState& kernel, Page& page);

/// How a disk is asked for a page: by a request of its own, or by one that is on its way already
/// and goes on to the next slots.
enum class SwapRequest { kOwn, kMerged };
/// swap_readpage(): fills a locked page.
void swap_readpage(Cpu& cpu, KernelState& kernel, Page& page,
                   SwapRequest request = SwapRequest::kOwn);

/// A frame for a page that is read from swap, charged to group `memcg`: locked, on no list, not yet
/// filled.
Page& alloc_swap_page(Cpu& cpu, KernelState& kernel, unsigned memcg);

/// read_swap_cache_async(): the page of a slot, in the swap cache and with a reference, read unless
/// it is there already. A new one belongs to group `memcg`. No page: the slot is not used any more.
struct SwapCachePage {
    Page* page = nullptr;
    bool is_new = false;
};
SwapCachePage read_swap_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry, unsigned memcg,
                              SwapRequest request = SwapRequest::kOwn);

/// The page's content is handed over for good: translations made so far may not write any more.
/// Page locked and not mapped.
void seal_page(Cpu& cpu, Page& page);

}  // namespace mmusim::rmap
