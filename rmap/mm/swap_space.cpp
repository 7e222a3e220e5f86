// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/swap_space.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

SwapSpace::SwapSpace(KernelMemory& memory, const SwapConfig& config)
    : cache("swap", FileKind::kSwap, config.slots, memory),
      device(config.device),
      cluster_readahead(memory.allocate_line()),
      max_map_count_(config.max_map_count),
      nr_used_(memory.allocate_line()),
      lock_(memory.allocate_line()),
      swap_map_(config.slots) {}

std::uint64_t SwapSpace::nr_free(Cpu& cpu) {
    return total() - cpu.memory().load(nr_used_, Part::kSwap).value;
}

bool SwapSpace::vm_swap_full(Cpu& cpu) { return nr_free(cpu) * 2 < total(); }

std::optional<SwapEntry> SwapSpace::get_swap_page(Cpu& cpu) {
    lock_.lock(cpu);
    std::optional<SwapEntry> entry;
    if (!free_.empty()) {
        entry = SwapEntry{0, free_.back()};
        free_.pop_back();
    } else if (next_ < swap_map_.size()) {
        entry = SwapEntry{0, next_++};
    }
    if (entry) {
        slot(*entry).has_cache = true;
        cpu.memory().fetch_add(nr_used_, 1, Part::kSwap);
    }
    lock_.unlock(cpu);
    return entry;
}

bool SwapSpace::swap_duplicate(Cpu& cpu, SwapEntry entry) {
    cpu.emit(Event::kSwapDuplicate, {entry.value()});
    lock_.lock(cpu);
    cpu.spend(cpu.costs().swap_duplicate, Part::kSwap);
    const bool counted = slot(entry).count < max_map_count_ + slot(entry).continued;
    if (counted) ++slot(entry).count;
    lock_.unlock(cpu);
    constexpr std::int64_t kNoMemory = -12;  // -ENOMEM
    cpu.emit(Event::kSwapDuplicateRet, {counted ? 0 : static_cast<std::uint64_t>(kNoMemory)});
    return counted;
}

void SwapSpace::add_swap_count_continuation(Cpu& cpu, SwapEntry entry) {
    constexpr unsigned kContinuedMax = 0x7f;  // SWAP_CONT_MAX
    cpu.spend(cpu.costs().page_allocate, Part::kAllocate);
    lock_.lock(cpu);
    slot(entry).continued += kContinuedMax;
    lock_.unlock(cpu);
}

void SwapSpace::swap_shmem_alloc(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    cpu.spend(cpu.costs().swap_duplicate, Part::kSwap);
    ++slot(entry).count;
    lock_.unlock(cpu);
}

void SwapSpace::free_if_unused(Cpu& cpu, SwapEntry entry) {
    if (slot(entry).count > 0 || slot(entry).has_cache) return;
    free_.push_back(entry.offset);
    cpu.memory().fetch_add(nr_used_, -1, Part::kSwap);
}

void SwapSpace::swap_free(Cpu& cpu, SwapEntry entry) {
    cpu.emit(Event::kSwapFree, {entry.value()});
    swap_entry_free(cpu, entry);
}

bool SwapSpace::swap_entry_free(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    MMUSIM_CHECK(slot(entry).count > 0, "a swap slot is freed by one that referred to it");
    --slot(entry).count;
    free_if_unused(cpu, entry);
    const bool only_cache = slot(entry).count == 0 && slot(entry).has_cache;
    lock_.unlock(cpu);
    return only_cache;
}

void SwapSpace::put_swap_page(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    slot(entry).has_cache = false;
    free_if_unused(cpu, entry);
    lock_.unlock(cpu);
}

SwapSpace::Prepared SwapSpace::swapcache_prepare(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    Prepared result = Prepared::kFree;
    if (slot(entry).has_cache) {
        result = Prepared::kBusy;
    } else if (slot(entry).count > 0) {
        slot(entry).has_cache = true;
        result = Prepared::kYes;
    }
    lock_.unlock(cpu);
    return result;
}

unsigned SwapSpace::swap_count(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    const unsigned count = slot(entry).count;
    lock_.unlock(cpu);
    return count;
}

void add_to_swap_cache(Cpu& cpu, KernelState& kernel, Page& page, SwapEntry entry) {
    AddressSpace& cache = kernel.swap.cache;
    const InterruptsOff irq(cpu.time());
    cache.xa_lock.lock(cpu);
    page.add_refcount(cpu, 1);
    page.swap = entry;
    page.set(cpu, PageFlag::kSwapCache, Part::kSwap);
    cpu.memory().store(cache.slot(entry.offset), {page.pfn().value, 0}, Part::kSwap);
    cache.xa_lock.unlock(cpu);
}

bool add_to_swap(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kAddToSwap, {page.pfn().value});
    const auto entry = kernel.swap.get_swap_page(cpu);
    if (entry) {
        cpu.spend(cpu.costs().swap_allocate, Part::kSwap);
        add_to_swap_cache(cpu, kernel, page, *entry);
        // Whether a clean page-table entry tells the truth is not known without a flush.
        set_page_dirty(cpu, kernel, page);
    }
    cpu.emit(Event::kAddToSwapRet, {entry ? 1u : 0u});
    return entry.has_value();
}

void delete_from_swap_cache_locked(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.memory().store(kernel.swap.cache.slot(page.swap.offset), {}, Part::kSwap);
    page.clear(cpu, PageFlag::kSwapCache, Part::kSwap);
}

void delete_from_swap_cache(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kDeleteFromSwapCache, {page.pfn().value});
    const SwapEntry entry = page.swap;
    {
        const InterruptsOff irq(cpu.time());
        kernel.swap.cache.xa_lock.lock(cpu);
        delete_from_swap_cache_locked(cpu, kernel, page);
        kernel.swap.cache.xa_lock.unlock(cpu);
    }
    kernel.swap.put_swap_page(cpu, entry);
    page.add_refcount(cpu, -1);
}

bool try_to_free_swap(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kTryToFreeSwap, {page.pfn().value});
    if (!page.test(cpu, PageFlag::kSwapCache)) return false;
    if (page_writeback(cpu, kernel, page)) return false;
    if (kernel.swap.swap_count(cpu, page.swap) > 0) return false;
    delete_from_swap_cache(cpu, kernel, page);
    page.set(cpu, PageFlag::kDirty);
    return true;
}

bool reuse_swap_page(Cpu& cpu, KernelState& kernel, Page& page) {
    const bool cached = page.test(cpu, PageFlag::kSwapCache);
    std::uint64_t count = page.mapcount(cpu);
    if (cached) count += kernel.swap.swap_count(cpu, page.swap);
    if (count > 1) return false;
    if (cached && page_writeback(cpu, kernel, page)) {
        // A disk may write either content: what the slot holds is not needed any more.
        return kernel.swap.device == SwapDevice::kDisk;
    }
    if (cached) {
        delete_from_swap_cache(cpu, kernel, page);
        page.set(cpu, PageFlag::kDirty);
    }
    return true;
}

void free_swap_and_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry) {
    if (!kernel.swap.swap_entry_free(cpu, entry)) return;
    Page* page = find_get_page(cpu, kernel, kernel.swap.cache, entry.offset, Part::kSwap);
    if (!page) return;
    if (trylock_page(cpu, *page)) {
        if (page->test(cpu, PageFlag::kSwapCache) && page->swap == entry &&
            (!page_mapped(cpu, *page) || kernel.swap.vm_swap_full(cpu)))
            try_to_free_swap(cpu, kernel, *page);
        unlock_page(cpu, *page);
    }
    put_page(cpu, kernel, *page);
}

void seal_page(Cpu& cpu, Page& page) {
    cpu.emit(Event::kPageSealed, {page.pfn().value, page.generation});
    ++page.generation;
}

namespace {

/// __swap_writepage()
void do_swap_writepage(Cpu& cpu, KernelState& kernel, Page& page) {
    kernel.vm_events.count(cpu, page.memcg, VmEvent::kPswpOut);
    cpu.emit(Event::kDoSwapWritepage, {page.pfn().value});
    seal_page(cpu, page);
    page.set(cpu, PageFlag::kWriteback);
    if (kernel.swap.device == SwapDevice::kDisk) {
        unlock_page(cpu, page);
        return kernel.disk.submit_write(cpu, page);
    }
    cpu.spend(cpu.costs().swap_write, Part::kWriteback);
    end_page_writeback(cpu, kernel, page);
    unlock_page(cpu, page);
}

}  // namespace

void swap_writepage(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kSwapWritepage, {page.pfn().value});
    if (try_to_free_swap(cpu, kernel, page))
        unlock_page(cpu, page);
    else
        do_swap_writepage(cpu, kernel, page);
    cpu.emit(Event::kSwapWritepageRet, {0});
}

void swap_readpage(Cpu& cpu, KernelState& kernel, Page& page, SwapRequest request) {
    kernel.vm_events.count(cpu, page.memcg, VmEvent::kPswpIn);
    const bool disk = kernel.swap.device == SwapDevice::kDisk;
    if (!disk)
        cpu.spend(cpu.costs().swap_read, Part::kFault);
    else if (request == SwapRequest::kMerged)
        cpu.spend(cpu.costs().submit_bio, Part::kFault);
    else
        cpu.spend(cpu.costs().file_read, Part::kFault);
    page.set(cpu, PageFlag::kUptodate);
    // swap_slot_free_notify(): zram does not keep what the swap cache has.
    if (!disk && page.test(cpu, PageFlag::kSwapCache)) page.set(cpu, PageFlag::kDirty);
}

Page& alloc_swap_page(Cpu& cpu, KernelState& kernel, unsigned memcg) {
    Page& page = kernel.pages.alloc_page(cpu, kernel.node_of(cpu));
    page.memcg = memcg;
    lock_page(cpu, page);
    page.set(cpu, PageFlag::kSwapBacked);
    return page;
}

SwapCachePage read_swap_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry, unsigned memcg,
                              SwapRequest request) {
    SwapSpace& swap = kernel.swap;
    Page* found = nullptr;
    Page* fresh = nullptr;
    for (;;) {
        found = find_get_page(cpu, kernel, swap.cache, entry.offset, Part::kSwap);
        // Nobody wants the content: it was freed, or is on its way there.
        if (found || swap.swap_count(cpu, entry) == 0) break;
        if (!fresh) fresh = &alloc_swap_page(cpu, kernel, memcg);
        const auto prepared = swap.swapcache_prepare(cpu, entry);
        if (prepared == SwapSpace::Prepared::kFree) break;
        if (prepared == SwapSpace::Prepared::kBusy) continue;  // about to appear, or to disappear
        add_to_swap_cache(cpu, kernel, *fresh, entry);
        lru_cache_add(cpu, kernel, *fresh);
        swap_readpage(cpu, kernel, *fresh, request);
        unlock_page(cpu, *fresh);
        return {fresh, true};
    }
    if (fresh) {
        unlock_page(cpu, *fresh);
        put_page(cpu, kernel, *fresh);
    }
    return {found, false};
}

}  // namespace mmusim::rmap
