// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/fault.hpp"
#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/access.hpp"

namespace mmusim::rmap {

/// struct vm_fault: one page fault on its way through the handler. mmap_sem is held for reading in
/// all functions below.
struct VmFault {
    Cpu& cpu;
    KernelState& kernel;
    Mm& mm;
    Vma& vma;
    VirtAddr address;  ///< of the page
    Access access;
    FaultFlags flags;
    PteSlot slot{};
    Word orig_pte{};  ///< what the entry held before its lock was taken
    FaultResult result = FaultResult::kHandled;

    bool write() const { return access == Access::kWrite; }

    void lock() { pte_lock(cpu, *slot.table); }
    void unlock() { pte_unlock(cpu, *slot.table); }
    /// pte_same(): under the lock, nobody changed the entry since (hardware may set its accessed
    /// and dirty bits, which makes it look changed, as in the kernel).
    bool pte_same();
    /// set_pte_at() with the event.
    void set_pte(Pte pte, Generation generation);
    /// set_pte_at_notify(): secondary MMUs learn of the new entry before the CPUs can use it (N18).
    void set_pte_notify(Pte pte, Generation generation);
    /// The event of ptep_set_access_flags(), with the entry that is wanted.
    void emit_set_access_flags(Pte entry);
    /// An entry for a page of this VMA: young; writable and dirty if asked for and allowed.
    enum class Mkwrite { kNo, kYes };
    Pte mk_pte(FrameNumber frame, Mkwrite mkwrite) const;
    /// lock_page_or_retry(): false if the page was locked; then it has waited without mmap_sem, and
    /// the result is kRetry.
    bool lock_page_or_retry(Page& page);
    /// A new frame for this mm, with one reference, charged to its group.
    Page& alloc_page(GfpFlags gfp = GfpFlags::kNone);
};

/// do_anonymous_page(): first access to private memory.
void do_anonymous_page(VmFault& vmf);

/// do_swap_page(): the entry is a swap or a migration entry.
void do_swap_page(VmFault& vmf);

/// do_fault(): first access to a page of a file.
void do_fault(VmFault& vmf);

/// page_mkwrite() of ext4: a page of a file is about to become writable. Takes the page lock, which
/// is held on return, and marks the page dirty. False: it has left the file meanwhile, and is not
/// locked.
bool do_page_mkwrite(VmFault& vmf, Page& page);

/// fault_dirty_shared_page(): the page that a shared mapping may write from now on is dirty.
/// Unlocks it.
void fault_dirty_shared_page(VmFault& vmf, Page& page);

/// do_wp_page(): a write to a present, read-only entry. The page-table lock is held on entry, not
/// on return.
void do_wp_page(VmFault& vmf);

/// ptep_set_access_flags() of a present entry that allows the access: a spurious fault, or one
/// whose cause somebody else removed. Page-table lock held.
void set_access_flags(VmFault& vmf);

}  // namespace mmusim::rmap
