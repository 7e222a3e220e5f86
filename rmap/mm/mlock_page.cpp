// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mlock_page.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "rmap/unmap/try_to_unmap.hpp"

namespace mmusim::rmap {

void mlock_vma_page(Cpu& cpu, KernelState& kernel, Page& page) {
    MMUSIM_CHECK(page.lock.held_by(cpu), "a page is locked while it is mlocked");
    cpu.emit(Event::kMlockPage, {page.pfn().value});
    if (page.test_and_set(cpu, PageFlag::kMlocked)) return;
    if (kernel.lru.isolate_lru_page(cpu, page)) putback_lru_page(cpu, kernel, page);
}

void munlock_vma_page(Cpu& cpu, KernelState& kernel, Page& page) {
    MMUSIM_CHECK(page.lock.held_by(cpu), "a page is locked while it is munlocked");
    cpu.emit(Event::kMunlockPage, {page.pfn().value});
    bool isolated = false;
    {
        const InterruptsOff irq(cpu.time());
        Lock& lru_lock = kernel.lru.lru_lock(page.nid());
        lru_lock.lock(cpu);
        if (page.test_and_clear(cpu, PageFlag::kMlocked)) {
            isolated = kernel.lru.munlock_isolate_lru_page(cpu, page);
            if (isolated) get_page(cpu, page);
        }
        lru_lock.unlock(cpu);
    }
    if (isolated) munlock_isolated_page(cpu, kernel, page);
}

void clear_page_mlock(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kClearPageMlock, {page.pfn().value});
    if (!page.test_and_clear(cpu, PageFlag::kMlocked)) return;
    if (kernel.lru.isolate_lru_page(cpu, page)) putback_lru_page(cpu, kernel, page);
}

void munlock_isolated_page(Cpu& cpu, KernelState& kernel, Page& page) {
    // The only mapping is the one that is being munlocked, so nobody else need be asked.
    if (page.mapcount(cpu) > 1) try_to_munlock(cpu, kernel, page);
    putback_lru_page(cpu, kernel, page);
}

}  // namespace mmusim::rmap
