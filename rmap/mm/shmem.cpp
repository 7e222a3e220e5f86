// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/shmem.hpp"

#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/mm/swap_readahead.hpp"
#include "rmap/mm/truncate.hpp"
#include "rmap/mm/vm_fault.hpp"

namespace mmusim::rmap {

namespace {

/// find_lock_entry(): a page is locked when this returns, and still belongs to its slot.
PageCacheEntry find_lock_entry(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping,
                               std::uint64_t index) {
    for (;;) {
        const PageCacheEntry entry = find_get_entry(cpu, kernel, mapping, index, Part::kFault);
        if (!entry.page) return entry;
        lock_page(cpu, *entry.page);
        if (entry.page->mapping(cpu).raw == mapping.mapping().raw) return entry;
        unlock_page(cpu, *entry.page);
        put_page(cpu, kernel, *entry.page);
    }
}

/// The part of shmem_getpage_gfp() for a page in swap. nullptr: it changed meanwhile, try again.
Page* swapin_page(VmFault& vmf, AddressSpace& mapping, std::uint64_t index, SwapEntry swap) {
    Cpu& cpu = vmf.cpu;
    KernelState& kernel = vmf.kernel;
    Page* page = lookup_swap_cache(cpu, kernel, swap);
    if (!page) {
        kernel.vm_events.count(cpu, vmf.mm.memcg, VmEvent::kPgMajFault);
        page = swap_cluster_readahead(cpu, kernel, swap, vmf.mm.memcg);  // shmem_swapin()
    }
    if (!page) return nullptr;
    // Locked, because it may be moved back or freed by others until then.
    lock_page(cpu, *page);
    const bool ours = page->test(cpu, PageFlag::kSwapCache) && page->swap == swap;
    if (ours) wait_on_page_writeback(cpu, kernel, *page);
    // shmem_confirm_swap() is what entering it under the lock of the slots amounts to.
    if (!ours || !add_to_page_cache(cpu, mapping, *page, index, swap_value_entry(swap))) {
        unlock_page(cpu, *page);
        put_page(cpu, kernel, *page);
        return nullptr;
    }
    delete_from_swap_cache(cpu, kernel, *page);
    set_page_dirty(cpu, kernel, *page);
    kernel.swap.swap_free(cpu, swap);
    return page;
}

/// ... and for one that was never used. nullptr: somebody else was faster.
Page* alloc_page(VmFault& vmf, AddressSpace& mapping, std::uint64_t index) {
    Page& page = alloc_swap_page(vmf.cpu, vmf.kernel, vmf.mm.memcg);
    if (!add_to_page_cache_lru(vmf.cpu, vmf.kernel, mapping, page, index)) {
        unlock_page(vmf.cpu, page);
        put_page(vmf.cpu, vmf.kernel, page);
        return nullptr;
    }
    vmf.cpu.spend(vmf.cpu.costs().clear_page, Part::kFault);  // clear_highpage()
    page.set(vmf.cpu, PageFlag::kUptodate);
    return &page;
}

/// shmem_free_swap(): the slot of a page that is swapped out. False: it changed meanwhile.
bool shmem_free_swap(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, std::uint64_t index,
                     SwapEntry swap) {
    bool same = false;
    {
        const InterruptsOff irq(cpu.time());
        mapping.xa_lock.lock(cpu);
        const PhysAddr slot = mapping.slot(index);
        same = cpu.memory().load(slot, Part::kSwap).value == swap_value_entry(swap).value;
        if (same) cpu.memory().store(slot, {}, Part::kSwap);
        mapping.xa_lock.unlock(cpu);
    }
    if (same) free_swap_and_cache(cpu, kernel, swap);
    return same;
}

/// Whether a pass of shmem_undo_range() waits for locked pages, or leaves them to the next one.
enum class Busy { kSkip, kWaitFor };

/// One slot. False: a page and its swap entry took each other's place meanwhile.
bool undo_slot(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, const PageCacheEntry& entry,
               Busy busy) {
    if (entry.swap) return shmem_free_swap(cpu, kernel, mapping, entry.index, *entry.swap);
    if (busy == Busy::kWaitFor)
        lock_page(cpu, *entry.page);
    else if (!trylock_page(cpu, *entry.page))
        return true;
    const bool ours = truncate_inode_page(cpu, kernel, mapping, *entry.page);
    unlock_page(cpu, *entry.page);
    return ours;
}

/// One pass of shmem_undo_range(). Returns whether there was anything.
bool undo_pass(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range, Pagevec& pvec,
               Busy busy) {
    for (bool found = false;; found = true) {
        const auto entries =
            pagevec_lookup_entries(cpu, kernel, mapping, range, Part::kRemoveMapping);
        if (entries.empty()) return found;
        for (const PageCacheEntry& entry : entries)
            if (entry.page) pvec.pages.push_back(entry.page);
        for (const PageCacheEntry& entry : entries) {
            range.first = entry.index;
            const bool gone = undo_slot(cpu, kernel, mapping, entry, busy);
            if (!gone && busy == Busy::kWaitFor) break;  // looked at once more
            ++range.first;
        }
        pagevec_release(cpu, kernel, pvec);
    }
}

}  // namespace

Page* shmem_fault(VmFault& vmf) {
    AddressSpace& mapping = *vmf.vma.vm_file;
    const std::uint64_t index = vmf.vma.page_index(vmf.address);
    for (;;) {
        PageCacheEntry entry = find_lock_entry(vmf.cpu, vmf.kernel, mapping, index);
        if (index >= mapping.i_size(vmf.cpu, Part::kFault)) {
            if (entry.page) unlock_page(vmf.cpu, *entry.page);
            if (entry.page) put_page(vmf.cpu, vmf.kernel, *entry.page);
            return nullptr;
        }
        if (entry.swap)
            entry.page = swapin_page(vmf, mapping, index, *entry.swap);
        else if (!entry.page)
            entry.page = alloc_page(vmf, mapping, index);
        if (entry.page) return entry.page;
    }
}

WritepageResult shmem_writepage(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kShmemWritepage, {page.pfn().value});
    const auto swap = kernel.swap.get_swap_page(cpu);
    if (!swap) {
        set_page_dirty(cpu, kernel, page);
        return WritepageResult::kActivate;
    }
    cpu.spend(cpu.costs().swap_allocate, Part::kSwap);
    AddressSpace& mapping = kernel.file_of(page.mapping(cpu));
    add_to_swap_cache(cpu, kernel, page, *swap);
    kernel.swap.swap_shmem_alloc(cpu, *swap);
    delete_from_page_cache(cpu, kernel, mapping, page, swap_value_entry(*swap));
    swap_writepage(cpu, kernel, page);
    return WritepageResult::kStarted;
}

void shmem_truncate_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range) {
    Pagevec pvec;
    undo_pass(cpu, kernel, mapping, range, pvec, Busy::kSkip);
    // A truncated file is empty when a pass finds nothing; a hole may be filled again.
    while (undo_pass(cpu, kernel, mapping, range, pvec, Busy::kWaitFor) &&
           range.last == kToTheEnd) {
    }
}

}  // namespace mmusim::rmap
