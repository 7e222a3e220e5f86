// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

struct KernelState;

// PG_mlocked and the unevictable LRU list (mm/mlock.c). The page is locked, which keeps migration
// away; a page-table lock may be held. Time passes.

/// mlock_vma_page(): a VM_LOCKED VMA maps the page. It moves to the unevictable list, unless
/// somebody else has isolated it: then it comes there when it is put back.
void mlock_vma_page(Cpu& cpu, KernelState& kernel, Page& page);

/// munlock_vma_page(): one VM_LOCKED VMA fewer maps the page. If another one does, it stays mlocked
/// (try_to_munlock()). No page-table lock held.
void munlock_vma_page(Cpu& cpu, KernelState& kernel, Page& page);

/// clear_page_mlock(): the last mapping of an mlocked page is gone, by truncation or unmapping that
/// does not care. The page need not be locked.
void clear_page_mlock(Cpu& cpu, KernelState& kernel, Page& page);

/// __munlock_isolated_page(): the page lost PG_mlocked and is isolated; it goes back to the list it
/// belongs to now. Drops the reference of the isolation. No page-table lock held.
void munlock_isolated_page(Cpu& cpu, KernelState& kernel, Page& page);

}  // namespace mmusim::rmap
