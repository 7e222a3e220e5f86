// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

struct KernelState;

// Write-back of pages (mm/page-writeback.c, mm/filemap.c). Time passes in all of these.

/// clear_page_dirty_for_io(): true if the page is to be written; its mappings can no longer be
/// written without a fault, and who stores through them marks it dirty anew. Page locked.
bool clear_page_dirty_for_io(Cpu& cpu, KernelState& kernel, Page& page);

/// PageWriteback(), as of now: a write that is over by the CPU's local time has ended.
bool page_writeback(Cpu& cpu, KernelState& kernel, Page& page);

/// end_page_writeback(): a page that reclaim waits for (PG_reclaim) goes to where it is reclaimed
/// next.
void end_page_writeback(Cpu& cpu, KernelState& kernel, Page& page);

/// The completions of the disk that are due (end_swap_bio_write(), ext4_end_bio()).
void end_finished_writes(Cpu& cpu, KernelState& kernel);

/// wait_on_page_writeback(): sleeps until nobody writes the page. No spinlock held. Time passes:
/// Part::kWriteback.
void wait_on_page_writeback(Cpu& cpu, KernelState& kernel, Page& page);

/// ext4_writepage(): starts the write of one page that clear_page_dirty_for_io() has let pass, and
/// unlocks it.
void ext4_writepage(Cpu& cpu, KernelState& kernel, Page& page);

/// wbc->sync_mode: whether pages whose write has started already are written once more.
enum class WritebackSync {
    kNone,  ///< WB_SYNC_NONE, of the flusher threads: they are left out
    kAll,   ///< WB_SYNC_ALL, of fsync(): after that write has ended
};
/// do_writepages(): starts the writes of the dirty pages of a range. No page locked.
void do_writepages(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range,
                   WritebackSync sync);

/// filemap_write_and_wait_range(): writes the dirty pages of a range and waits for them. Does
/// nothing for shmem, which has no backing store but swap. No page locked.
/// Does not model: tags of the page cache (every slot of the range is looked at).
void filemap_write_and_wait_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                                  PageRange range);

}  // namespace mmusim::rmap
