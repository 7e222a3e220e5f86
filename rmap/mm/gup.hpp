// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/ports/user_page_port.hpp"
#include "rmap/types/access.hpp"

namespace mmusim::rmap {

/// One page of `mm` with a reference, for somebody who is not the CPU's own MMU, in the two steps
/// of virt/kvm/kvm_main.c:hva_to_pfn (v5.0). First the fast walk, which takes an entry that allows
/// writing, whatever is asked for; a reader gets a page that it may write to without asking again.
/// Otherwise the slow one, which faults the page in for `access` as often as necessary. Nothing if
/// no mapping allows the access. UserPage::generation is that of the page-table word.
/// The CPU runs a task of `mm`. No lock is held and interrupts are on; the slow walk takes mmap_sem
/// for reading. Not an operation of its own. Time passes: KernelCosts::get_user_page and the walk
/// for Part::kFault, and the parts of what it calls. Does not model: the third look of hva_to_pfn
/// at an entry that a read has just found (the slow walk knows whether it allows writing),
/// FOLL_NOWAIT, huge entries.
std::optional<UserPage> get_user_page(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address,
                                      Access access);

/// __get_user_pages_fast() of one page of current->mm, for writing (mm/gup.c). No lock: interrupts
/// are off, and since this CPU runs the mm, whoever frees a table or a page that was mapped must
/// wait for it to flush. The reference is taken unless the page is about to be freed, and given
/// back if the entry has changed meanwhile. Marks the page referenced; touches no bit of the entry.
std::optional<UserPage> get_user_page_fast(Cpu& cpu, KernelState& kernel, const Mm& mm,
                                           VirtAddr address);

/// get_user_pages_unlocked() of one page, with FOLL_TOUCH: follow_page_pte() takes the reference
/// under the page-table lock, dirties the page for a write through a clean entry, and calls
/// mark_page_accessed(). The entry's own accessed and dirty bits stay as they are. The zero page
/// has neither state nor references.
std::optional<UserPage> get_user_page_unlocked(Cpu& cpu, KernelState& kernel, Mm& mm,
                                               VirtAddr address, Access access);

}  // namespace mmusim::rmap
