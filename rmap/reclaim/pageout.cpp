// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/pageout.hpp"

#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

/// One of the caller who isolated the page, one of the cache.
constexpr std::uint64_t kReclaimReferences = 2;

/// The part of __remove_mapping() under the lock of the cache.
bool remove_mapping_locked(Cpu& cpu, KernelState& kernel, Page& page, AddressSpace& cache,
                           bool swap_cache) {
    // The order matters: who sets the dirty bit has a reference, so it is seen here or the count is
    // not as expected.
    if (!page.freeze(cpu, kReclaimReferences)) return false;
    if (page.test(cpu, PageFlag::kDirty)) {
        page.set_refcount(cpu, kReclaimReferences);
        return false;
    }
    if (swap_cache) {
        delete_from_swap_cache_locked(cpu, kernel, page);
    } else {
        cpu.memory().store(cache.slot(page.index), {}, Part::kRemoveMapping);
        page.set_mapping(cpu, {});
    }
    return true;
}

}  // namespace

Pageout pageout(Cpu& cpu, KernelState& kernel, Page& page) {
    // is_page_cache_freeable()
    if (page.refcount(cpu) != kReclaimReferences) return Pageout::kKeep;
    // clear_page_dirty_for_io()
    if (!page.test_and_clear(cpu, PageFlag::kDirty)) return Pageout::kClean;
    page.set(cpu, PageFlag::kReclaim);
    swap_writepage(cpu, kernel, page);
    page.clear(cpu, PageFlag::kReclaim);  // the device is synchronous: the write is over
    cpu.emit(Event::kVmscanWritepage, {page.pfn().value});
    return Pageout::kSuccess;
}

bool remove_mapping(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kRemoveMapping, {page.pfn().value});
    const bool swap_cache = page.test(cpu, PageFlag::kSwapCache);
    AddressSpace& cache = swap_cache ? kernel.swap.cache : kernel.file_of(page.mapping(cpu));
    bool removed = false;
    {
        const InterruptsOff irqsave(cpu.time());
        cache.xa_lock.lock(cpu);
        cpu.spend(cpu.costs().remove_mapping, Part::kRemoveMapping);
        removed = remove_mapping_locked(cpu, kernel, page, cache, swap_cache);
        cache.xa_lock.unlock(cpu);
    }
    if (removed && swap_cache) kernel.swap.put_swap_page(cpu, page.swap);
    cpu.emit(Event::kRemoveMappingRet, {removed ? 1u : 0u});
    return removed;
}

}  // namespace mmusim::rmap
