// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/anon_vma.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

// The bookkeeping of page mappings (mm/rmap.c). The caller holds the page-table lock of the entry
// that maps the page. Time passes: Part::kPageState.

enum class RmapExclusive { kNo, kYes };

/// page_add_new_anon_rmap(): first mapping of a page that nobody else can see yet.
void page_add_new_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                            VirtAddr address);

/// do_page_add_anon_rmap(): one more mapping. The first one of a page that is not exclusive points
/// it at the root anon_vma. The page is locked if this may be the first one.
void do_page_add_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                           VirtAddr address, RmapExclusive exclusive);
/// page_add_anon_rmap(): the same, not exclusive, with the event.
void page_add_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                        VirtAddr address);

/// page_add_file_rmap()
void page_add_file_rmap(Cpu& cpu, Page& page);

/// page_dup_rmap(): fork copied an entry.
void page_dup_rmap(Cpu& cpu, Page& page);

/// page_move_anon_rmap(): the page belongs to this VMA alone; page locked.
void page_move_anon_rmap(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma);

/// page_remove_rmap(): one mapping fewer. The mapping stays: it means nothing once the page is
/// unmapped. The last one takes PG_mlocked along.
void page_remove_rmap(Cpu& cpu, KernelState& kernel, Page& page);

}  // namespace mmusim::rmap
