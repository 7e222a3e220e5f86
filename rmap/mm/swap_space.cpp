// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/swap_space.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

SwapSpace::SwapSpace(KernelMemory& memory, const SwapConfig& config)
    : cache("swap", config.slots, memory),
      max_map_count_(config.max_map_count),
      lock_(memory.allocate_line()),
      swap_map_(config.slots) {}

std::optional<SwapEntry> SwapSpace::get_swap_page(Cpu& cpu) {
    lock_.lock(cpu);
    std::optional<SwapEntry> entry;
    if (!free_.empty()) {
        entry = SwapEntry{0, free_.back()};
        free_.pop_back();
    } else if (next_ < swap_map_.size()) {
        entry = SwapEntry{0, next_++};
    }
    if (entry) slot(*entry).has_cache = true;
    lock_.unlock(cpu);
    return entry;
}

bool SwapSpace::swap_duplicate(Cpu& cpu, SwapEntry entry) {
    cpu.emit(Event::kSwapDuplicate, {entry.value()});
    lock_.lock(cpu);
    cpu.spend(cpu.costs().swap_duplicate, Part::kSwap);
    const bool counted = slot(entry).count < max_map_count_;
    if (counted) ++slot(entry).count;
    lock_.unlock(cpu);
    constexpr std::int64_t kNoMemory = -12;  // -ENOMEM
    cpu.emit(Event::kSwapDuplicateRet, {counted ? 0 : static_cast<std::uint64_t>(kNoMemory)});
    return counted;
}

void SwapSpace::free_if_unused(SwapEntry entry) {
    if (slot(entry).count == 0 && !slot(entry).has_cache) free_.push_back(entry.offset);
}

bool SwapSpace::swap_free(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    MMUSIM_CHECK(slot(entry).count > 0, "a swap slot is freed by one that referred to it");
    --slot(entry).count;
    free_if_unused(entry);
    const bool only_cache = slot(entry).count == 0 && slot(entry).has_cache;
    lock_.unlock(cpu);
    return only_cache;
}

void SwapSpace::put_swap_page(Cpu& cpu, SwapEntry entry) {
    lock_.lock(cpu);
    slot(entry).has_cache = false;
    free_if_unused(entry);
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
        set_page_dirty(cpu, page);
    }
    cpu.emit(Event::kAddToSwapRet, {entry ? 1u : 0u});
    return entry.has_value();
}

void delete_from_swap_cache_locked(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.memory().store(kernel.swap.cache.slot(page.swap.offset), {}, Part::kSwap);
    page.clear(cpu, PageFlag::kSwapCache, Part::kSwap);
}

void delete_from_swap_cache(Cpu& cpu, KernelState& kernel, Page& page) {
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
    if (kernel.swap.swap_count(cpu, page.swap) > 0) return false;
    delete_from_swap_cache(cpu, kernel, page);
    page.set(cpu, PageFlag::kDirty);
    return true;
}

bool reuse_swap_page(Cpu& cpu, KernelState& kernel, Page& page) {
    const bool cached = page.test(cpu, PageFlag::kSwapCache);
    std::uint64_t count = page.mapcount(cpu);
    if (cached) count += kernel.swap.swap_count(cpu, page.swap);
    if (count <= 1 && cached) {
        delete_from_swap_cache(cpu, kernel, page);
        page.set(cpu, PageFlag::kDirty);
    }
    return count <= 1;
}

void free_swap_and_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry) {
    if (!kernel.swap.swap_free(cpu, entry)) return;
    Page* page = find_get_page(cpu, kernel, kernel.swap.cache, entry.offset, Part::kSwap);
    if (!page) return;
    if (trylock_page(cpu, *page)) {
        if (page->test(cpu, PageFlag::kSwapCache) && page->swap == entry &&
            !page_mapped(cpu, *page))
            try_to_free_swap(cpu, kernel, *page);
        unlock_page(cpu, *page);
    }
    put_page(cpu, kernel, *page);
}

void seal_page(Cpu& cpu, Page& page) {
    cpu.emit(Event::kPageSealed, {page.pfn().value, page.generation});
    ++page.generation;
}

void swap_writepage(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kSwapWritepage, {page.pfn().value});
    if (try_to_free_swap(cpu, kernel, page)) {
        unlock_page(cpu, page);
    } else {
        cpu.emit(Event::kDoSwapWritepage, {page.pfn().value});
        seal_page(cpu, page);
        page.set(cpu, PageFlag::kWriteback);
        cpu.spend(cpu.costs().swap_write, Part::kWriteback);
        page.clear(cpu, PageFlag::kWriteback);
        unlock_page(cpu, page);
    }
    cpu.emit(Event::kSwapWritepageRet, {0});
}

void swap_readpage(Cpu& cpu, Page& page) {
    cpu.spend(cpu.costs().swap_read, Part::kFault);
    page.set(cpu, PageFlag::kUptodate);
}

}  // namespace mmusim::rmap
