// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/swap_readahead.hpp"
#include "rmap/mm/vm_fault.hpp"

namespace mmusim::rmap {

namespace {

/// migration_entry_wait(): sleeps until whoever migrates the page unlocks it. The reference that
/// keeps the page while looking is dropped before sleeping, or the migration could not succeed.
void migration_entry_wait(VmFault& vmf) {
    vmf.cpu.emit(Event::kMigrationEntryWait, {vmf.mm.context.id, vmf.address.value});
    vmf.lock();
    const Pte pte = pte_of(read_pte(vmf.cpu, vmf.slot.ptep));
    if (!pte.migration()) return vmf.unlock();
    Page& page = vmf.kernel.pages.pfn_to_page(pte.migration_frame());
    const bool got = page.get_unless_zero(vmf.cpu);
    vmf.unlock();
    if (!got) return;
    put_page(vmf.cpu, vmf.kernel, page);
    wait_on_page_locked(vmf.cpu, page);
}

/// The page was not in the swap cache: a major fault, whoever has read it.
void count_major_fault(VmFault& vmf) {
    vmf.kernel.vm_events.count(vmf.cpu, vmf.mm.memcg, VmEvent::kPgMajFault);
}

/// The page for `entry`, locked and with a reference; nullptr: the entry changed meanwhile, or the
/// fault has to be tried again.
Page* get_swap_page_locked(VmFault& vmf, SwapEntry entry) {
    SwapSpace& swap = vmf.kernel.swap;
    Page* page = lookup_swap_cache(vmf, entry);
    if (!page && swap.device == SwapDevice::kZram && swap.swap_count(vmf.cpu, entry) == 1) {
        // The device is synchronous and nobody else waits for this page: leave the cache alone.
        Page& fresh = alloc_swap_page(vmf.cpu, vmf.kernel, vmf.mm.memcg);
        lru_cache_add(vmf.cpu, vmf.kernel, fresh);
        swap_readpage(vmf.cpu, vmf.kernel, fresh);
        count_major_fault(vmf);
        return &fresh;
    }
    if (!page) {
        page = swapin_readahead(vmf, entry);
        if (!page) return nullptr;
        count_major_fault(vmf);
    }
    if (vmf.lock_page_or_retry(*page)) {
        if (page->test(vmf.cpu, PageFlag::kSwapCache) && page->swap == entry) return page;
        unlock_page(vmf.cpu, *page);
    }
    put_page(vmf.cpu, vmf.kernel, *page);
    return nullptr;
}

/// Maps the page in place of the swap entry; page lock and page-table lock held. Returns whether a
/// write has to break sharing still.
bool map_swap_page(VmFault& vmf, Page& page, SwapEntry entry) {
    Cpu& cpu = vmf.cpu;
    add_mm_counter_fast(cpu, vmf.mm, MmCounter::kAnonPages, 1);
    add_mm_counter_fast(cpu, vmf.mm, MmCounter::kSwapEnts, -1);
    const bool reuse = vmf.write() && reuse_swap_page(cpu, vmf.kernel, page);
    const Pte pte = vmf.mk_pte(page.pfn(), reuse ? VmFault::Mkwrite::kYes : VmFault::Mkwrite::kNo);
    vmf.set_pte(pte, page.generation);
    vmf.orig_pte = {pte.raw(), page.generation};
    do_page_add_anon_rmap(cpu, vmf.kernel, page, vmf.vma, vmf.address,
                          reuse ? RmapExclusive::kYes : RmapExclusive::kNo);
    activate_page(cpu, vmf.kernel, page);
    vmf.kernel.swap.swap_free(cpu, entry);
    // A slot is scarce, or not needed: what is mlocked cannot be swapped out again.
    if (vmf.kernel.swap.vm_swap_full(cpu) || vmf.vma.has(VmFlags::kLocked) ||
        page.test(cpu, PageFlag::kMlocked))
        try_to_free_swap(cpu, vmf.kernel, page);
    return vmf.write() && !reuse;
}

}  // namespace

void do_swap_page(VmFault& vmf) {
    vmf.cpu.emit(Event::kDoSwapPage, {vmf.mm.context.id, vmf.address.value});
    const Pte pte = pte_of(vmf.orig_pte);
    if (pte.migration()) return migration_entry_wait(vmf);

    const SwapEntry entry{pte.type(), pte.offset()};
    Page* page = get_swap_page_locked(vmf, entry);
    if (!page) return;
    vmf.lock();
    if (!vmf.pte_same()) {
        vmf.unlock();
        unlock_page(vmf.cpu, *page);
        put_page(vmf.cpu, vmf.kernel, *page);
        return;
    }
    const bool break_sharing = map_swap_page(vmf, *page, entry);
    unlock_page(vmf.cpu, *page);
    if (break_sharing)
        do_wp_page(vmf);
    else
        vmf.unlock();
}

}  // namespace mmusim::rmap
