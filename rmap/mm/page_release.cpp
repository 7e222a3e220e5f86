// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_release.hpp"

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

namespace {

/// __page_cache_release(): a page without references is still on its LRU list.
void page_cache_release(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!page.test(cpu, PageFlag::kLru, Part::kLru)) return;
    const InterruptsOff irqsave(cpu.time());
    Lock& lru_lock = kernel.lru.lru_lock(page.nid());
    lru_lock.lock(cpu);
    kernel.lru.del_page_from_lru_list(cpu, page);
    lru_lock.unlock(cpu);
}

}  // namespace

void put_page(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kPutPage, {page.pfn().value});
    if (page.add_refcount(cpu, -1) == 0) free_page(cpu, kernel, page);
}

void free_page(Cpu& cpu, KernelState& kernel, Page& page) {
    page_cache_release(cpu, kernel, page);
    kernel.pages.free_unref_page(cpu, page);
}

void release_pages(Cpu& cpu, KernelState& kernel, const std::vector<Page*>& pages) {
    PageList pages_to_free;
    for (Page* page : pages) {
        if (page->add_refcount(cpu, -1) > 0) continue;
        page_cache_release(cpu, kernel, *page);
        pages_to_free.add_head(*page);
    }
    kernel.pages.free_unref_page_list(cpu, pages_to_free);
}

void set_page_dirty(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kSetPageDirty, {page.pfn().value});
    if (page_mapping(cpu, kernel, page) && page.test(cpu, PageFlag::kReclaim))
        page.clear(cpu, PageFlag::kReclaim);
    if (!page.test(cpu, PageFlag::kDirty)) page.set(cpu, PageFlag::kDirty);
}

}  // namespace mmusim::rmap
