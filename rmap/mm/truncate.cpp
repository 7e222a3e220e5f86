// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/truncate.hpp"

#include <algorithm>

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/mm/shmem.hpp"
#include "rmap/mm/zap.hpp"

namespace mmusim::rmap {

namespace {

/// zap_page_range_single()
void zap_page_range_single(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range,
                           const ZapDetails& details) {
    cpu.emit(Event::kZapPageRangeSingle,
             {vma.vm_mm->context.id, range.start.value, range.end.value});
    Mm& mm = *vma.vm_mm;
    const NotifierRange notified{mm.context.id, range, true};
    lru_add_drain(cpu, kernel);
    MmuGather tlb(cpu, kernel, mm, range);
    update_hiwater_rss(cpu, mm);
    mmu_notifier_invalidate_range_start(cpu, kernel, notified);
    unmap_page_range(cpu, kernel, tlb, vma, range, &details);
    mmu_notifier_invalidate_range_end(cpu, kernel, notified);
    tlb.finish();
}

/// truncate_cleanup_page()
void truncate_cleanup_page(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page) {
    if (page_mapped(cpu, page))  // by a fault since unmap_mapping_pages()
        unmap_mapping_pages(cpu, kernel, mapping, {page.index, page.index}, EvenCows::kNo);
    page.clear(cpu, PageFlag::kDirty);  // cancel_dirty_page()
}

bool belongs_to(Cpu& cpu, const AddressSpace& mapping, const Page& page) {
    return page.mapping(cpu).raw == mapping.mapping().raw;
}

/// One pagevec of the first pass of truncate_inode_pages_range(): what can be had without waiting.
void truncate_pagevec(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                      const std::vector<Page*>& pages) {
    std::vector<Page*> locked;
    for (Page* page : pages) {
        if (!trylock_page(cpu, *page)) continue;
        if (!page_writeback(cpu, kernel, *page) && belongs_to(cpu, mapping, *page))
            locked.push_back(page);
        else
            unlock_page(cpu, *page);
    }
    for (Page* page : locked) truncate_cleanup_page(cpu, kernel, mapping, *page);
    for (Page* page : locked) delete_from_page_cache(cpu, kernel, mapping, *page);
    for (Page* page : locked) unlock_page(cpu, *page);
}

/// ... and of the second: the rest.
void truncate_pagevec_wait(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                           const std::vector<Page*>& pages) {
    for (Page* page : pages) {
        lock_page(cpu, *page);
        wait_on_page_writeback(cpu, kernel, *page);
        truncate_inode_page(cpu, kernel, mapping, *page);
        unlock_page(cpu, *page);
    }
}

/// Returns whether there was any.
template <class Truncate>
bool for_each_pagevec(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range,
                      Pagevec& pvec, Truncate&& truncate) {
    for (bool found = false;; found = true) {
        for (const auto& entry :
             pagevec_lookup_entries(cpu, kernel, mapping, range, Part::kRemoveMapping))
            pvec.pages.push_back(entry.page);
        if (pvec.pages.empty()) return found;
        range.first = pvec.pages.back()->index + 1;
        truncate(cpu, kernel, mapping, pvec.pages);
        pagevec_release(cpu, kernel, pvec);
    }
}

/// ext4_punch_hole()
void ext4_punch_hole(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range) {
    if (mapping_tagged(cpu, kernel, mapping, PageFlag::kDirty, Part::kWriteback))
        filemap_write_and_wait_range(cpu, kernel, mapping, range);
    mapping.i_mmap_sem.lock_write(cpu);
    // truncate_pagecache_range()
    unmap_mapping_pages(cpu, kernel, mapping, range, EvenCows::kNo);
    truncate_inode_pages_range(cpu, kernel, mapping, range);
    mapping.i_mmap_sem.unlock_write(cpu);
}

/// shmem_fallocate()
void shmem_fallocate(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range) {
    unmap_mapping_pages(cpu, kernel, mapping, range, EvenCows::kNo);
    shmem_truncate_range(cpu, kernel, mapping, range);
}

/// truncate_pagecache(), and what shmem_setattr() does instead.
void truncate_pagecache(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                        std::uint64_t new_size) {
    const PageRange hole{new_size, kToTheEnd};
    unmap_mapping_pages(cpu, kernel, mapping, hole, EvenCows::kYes);
    if (mapping.kind == FileKind::kShmem)
        shmem_truncate_range(cpu, kernel, mapping, hole);
    else
        truncate_inode_pages_range(cpu, kernel, mapping, hole);
    // Private copies that faults made meanwhile of pages that are gone now.
    unmap_mapping_pages(cpu, kernel, mapping, hole, EvenCows::kYes);
}

/// The part of ext4_setattr() and shmem_setattr() that makes a file shorter.
void shrink(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, std::uint64_t new_size) {
    const bool ext4 = mapping.kind == FileKind::kExt4;
    if (ext4) mapping.i_mmap_sem.lock_write(cpu);
    truncate_pagecache(cpu, kernel, mapping, new_size);
    if (ext4) mapping.i_mmap_sem.unlock_write(cpu);
}

}  // namespace

void unmap_mapping_pages(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range,
                         EvenCows even_cows) {
    const ZapDetails details{even_cows == EvenCows::kYes ? nullptr : &mapping};
    i_mmap_lock_write(cpu, mapping);
    mapping.i_mmap.for_each_overlap(range.first, range.last, [&](Vma& vma) {
        const std::uint64_t first = std::max(range.first, vma.first_pgoff());
        const std::uint64_t last = std::min(range.last, vma.last_pgoff());
        zap_page_range_single(cpu, kernel, vma,
                              {vma.address_of_index(first), vma.address_of_index(last) + kPageSize},
                              details);
        return Visit::kContinue;
    });
    i_mmap_unlock_write(cpu, mapping);
}

bool truncate_inode_page(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page) {
    if (!belongs_to(cpu, mapping, page)) return false;
    truncate_cleanup_page(cpu, kernel, mapping, page);
    delete_from_page_cache(cpu, kernel, mapping, page);
    return true;
}

void truncate_inode_pages_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                                PageRange range) {
    Pagevec pvec;
    for_each_pagevec(cpu, kernel, mapping, range, pvec, truncate_pagevec);
    // Faults may bring back what is behind the pass, so all is gone when a pass finds nothing.
    while (for_each_pagevec(cpu, kernel, mapping, range, pvec, truncate_pagevec_wait)) {
    }
}

Errno truncate(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, std::uint64_t pages) {
    Syscall call(cpu, OperationKind::kTruncate, pages);
    if (pages > mapping.pages) {  // inode_newsize_ok()
        call.exit(0);
        return Errno::kTooBig;
    }
    const std::uint64_t old_size = mapping.i_size(cpu, Part::kRemoveMapping);
    cpu.memory().store(mapping.truncated, {mapping.pages - pages, 0}, Part::kRemoveMapping);
    std::uint64_t cut = 0;
    if (pages < old_size) {
        cut = old_size - pages;
        shrink(cpu, kernel, mapping, pages);
    }
    call.exit(cut);
    return Errno::kNone;
}

void vfs_fallocate(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range) {
    if (mapping.kind == FileKind::kShmem)
        shmem_fallocate(cpu, kernel, mapping, range);
    else
        ext4_punch_hole(cpu, kernel, mapping, range);
}

void fallocate_punch_hole(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range) {
    const std::uint64_t pages = range.last - range.first + 1;
    Syscall call(cpu, OperationKind::kFallocate, pages);
    vfs_fallocate(cpu, kernel, mapping, range);
    call.exit(pages);
}

}  // namespace mmusim::rmap
