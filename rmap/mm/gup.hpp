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

/// FOLL_* (include/linux/mm.h), with v5.0's values.
enum class FollFlags : unsigned {
    kNone = 0,
    kWrite = 0x01,     ///< FOLL_WRITE: the entry must allow writing
    kTouch = 0x02,     ///< FOLL_TOUCH: mark_page_accessed(); a write through a clean entry dirties
    kGet = 0x04,       ///< FOLL_GET: take a reference
    kDump = 0x08,      ///< FOLL_DUMP: the zero page is none
    kPopulate = 0x40,  ///< FOLL_POPULATE: what FOLL_MLOCK does not find is faulted in
    kMlock = 0x1000,   ///< FOLL_MLOCK: mlock_vma_page() in a VM_LOCKED VMA
};

constexpr FollFlags operator|(FollFlags a, FollFlags b) {
    return static_cast<FollFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(FollFlags flags, FollFlags flag) {
    return static_cast<unsigned>(flags) & static_cast<unsigned>(flag);
}

/// follow_page() down to follow_page_pte(): the page that is mapped at `address` of the VMA. What
/// the flags ask for is done under the page-table lock. Nothing if the entry does not allow it; it
/// faults nothing in. The entry's own accessed and dirty bits stay as they are, and the zero page
/// has neither state nor references. mmap_sem held. Time passes: `walk` for the tables and the
/// entry, and the parts of what it calls.
std::optional<UserPage> follow_page(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                                    FollFlags flags, Part walk);

/// __get_user_pages_fast() of one page of current->mm, for writing (mm/gup.c). No lock: interrupts
/// are off, and since this CPU runs the mm, whoever frees a table or a page that was mapped must
/// wait for it to flush. The reference is taken unless the page is about to be freed, and given
/// back if the entry has changed meanwhile. Marks the page referenced; touches no bit of the entry.
std::optional<UserPage> get_user_page_fast(Cpu& cpu, KernelState& kernel, const Mm& mm,
                                           VirtAddr address);

/// get_user_pages_unlocked() of one page: follows it with FOLL_TOUCH and faults it in as long as
/// that finds nothing.
std::optional<UserPage> get_user_page_unlocked(Cpu& cpu, KernelState& kernel, Mm& mm,
                                               VirtAddr address, Access access);

/// mm_populate(): faults in and, where they are VM_LOCKED, mlocks the pages of all VMAs in the
/// range; in VM_LOCKONFAULT ones only those that are there. False: a page could not be faulted in.
/// Takes mmap_sem for reading. Time passes: KernelCosts::get_user_page per page, and as above. Does
/// not model: FOLL_FORCE.
bool mm_populate(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range);

/// populate_vma_page_range(): the same for a range of one VMA, with mmap_sem held by the caller.
bool populate_vma_page_range(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtRange range);

}  // namespace mmusim::rmap
