// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_writeback.hpp"

#include <vector>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/page_mkclean.hpp"

namespace mmusim::rmap {

namespace {

/// The rest of writing one page: it is locked and will be clean.
void submit_page(Cpu& cpu, KernelState& kernel, Page& page) {
    page.set(cpu, PageFlag::kWriteback);  // set_page_writeback()
    kernel.disk.submit_write(cpu, page);
    unlock_page(cpu, page);
}

/// The part of write_cache_pages() for one page. The caller has a reference.
void write_cache_page(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, Page& page,
                      WritebackSync sync) {
    lock_page(cpu, page);
    // Truncated or written by somebody else while we waited for the lock.
    const bool ours = page.mapping(cpu).raw == mapping.mapping().raw;
    const bool wanted = ours && page.test(cpu, PageFlag::kDirty) &&
                        (sync == WritebackSync::kAll || !page_writeback(cpu, kernel, page));
    if (wanted) {
        wait_on_page_writeback(cpu, kernel, page);
        if (clear_page_dirty_for_io(cpu, kernel, page)) return submit_page(cpu, kernel, page);
    }
    unlock_page(cpu, page);
}

/// ext4_writepages(), in the order of write_cache_pages(): page after page, by their index.
void ext4_writepages(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range,
                     WritebackSync sync) {
    cpu.emit(Event::kFileWritepages, {mapping.mapping().raw});
    Pagevec pvec;
    while (range.first <= range.last) {
        pvec.pages = pagevec_lookup_range_tag(cpu, kernel, mapping, range, PageFlag::kDirty,
                                              Part::kWriteback);
        for (Page* page : pvec.pages) write_cache_page(cpu, kernel, mapping, *page, sync);
        pagevec_release(cpu, kernel, pvec);
    }
}

/// __filemap_fdatawait_range()
void filemap_fdatawait_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                             PageRange range) {
    Pagevec pvec;
    while (range.first <= range.last) {
        pvec.pages = pagevec_lookup_range_tag(cpu, kernel, mapping, range, PageFlag::kWriteback,
                                              Part::kWriteback);
        for (Page* page : pvec.pages) wait_on_page_writeback(cpu, kernel, *page);
        pagevec_release(cpu, kernel, pvec);
    }
}

}  // namespace

bool clear_page_dirty_for_io(Cpu& cpu, KernelState& kernel, Page& page) {
    const AddressSpace* mapping = page_mapping(cpu, kernel, page);
    // Whatever a mapping still can write, and was told to nobody, is written with the page; what is
    // stored from here on makes it dirty again.
    if (mapping && mapping->account_dirty() && page_mkclean(cpu, kernel, page) > 0)
        set_page_dirty(cpu, kernel, page);
    return page.test_and_clear(cpu, PageFlag::kDirty);
}

bool page_writeback(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!page.test(cpu, PageFlag::kWriteback)) return false;
    end_finished_writes(cpu, kernel);
    return page.test(cpu, PageFlag::kWriteback);
}

void end_page_writeback(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kEndPageWriteback, {page.pfn().value});
    if (page.test(cpu, PageFlag::kReclaim)) {
        page.clear(cpu, PageFlag::kReclaim);
        rotate_reclaimable_page(cpu, kernel, page);
    }
    page.clear(cpu, PageFlag::kWriteback);
}

void end_finished_writes(Cpu& cpu, KernelState& kernel) {
    for (Page* page : kernel.disk.take_finished_writes(cpu)) end_page_writeback(cpu, kernel, *page);
}

void wait_on_page_writeback(Cpu& cpu, KernelState& kernel, Page& page) {
    while (page_writeback(cpu, kernel, page)) {
        // None: the write is just being submitted, or somebody else is just ending it.
        const auto end = kernel.disk.write_ends_at(cpu, page);
        if (!end || *end <= cpu.now()) continue;
        Completion written(cpu.time());
        written.complete(*end);
        cpu.time().await(written, Part::kWriteback);
    }
}

void ext4_writepage(Cpu& cpu, KernelState& kernel, Page& page) {
    cpu.emit(Event::kFileWritepage, {page.pfn().value});
    submit_page(cpu, kernel, page);
}

void do_writepages(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range,
                   WritebackSync sync) {
    ext4_writepages(cpu, kernel, mapping, range, sync);
}

void filemap_write_and_wait_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                                  PageRange range) {
    if (!mapping.account_dirty()) return;
    do_writepages(cpu, kernel, mapping, range, WritebackSync::kAll);
    filemap_fdatawait_range(cpu, kernel, mapping, range);
}

}  // namespace mmusim::rmap
