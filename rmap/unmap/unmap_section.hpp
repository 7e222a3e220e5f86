// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/unmap/ttu_flags.hpp"

namespace mmusim::rmap {

/// The notifier calls of try_to_unmap_one() for one mapping, by the kernel's names: one section per
/// VMA, whether or not anything is mapped there (rule N20). The injected faults that misplace one
/// of these calls act here and nowhere else; the members inject_*() are where they do so, and
/// nobody notices them without a fault. Time passes in the clients.
class UnmapSection {
public:
    /// The range is the page at `address`, as far as it is in the VMA.
    UnmapSection(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma, VirtAddr address);
    UnmapSection(const UnmapSection&) = delete;
    UnmapSection& operator=(const UnmapSection&) = delete;

    /// Before any page-table lock is taken.
    void mmu_notifier_invalidate_range_start();
    /// The page-table lock of the mapping was taken.
    void inject_start_under_lock();
    /// The entry is about to be cleared; page-table lock held.
    void inject_invalidate_before_clear(TtuFlags flags);
    /// The cleared entry has its new value and the page may be freed before the section ends:
    /// secondary MMUs must let go now. Page-table lock held.
    void mmu_notifier_invalidate_range();
    /// No page-table lock is held any more.
    void mmu_notifier_invalidate_range_end();

private:
    bool faulty(InjectedFault fault) const { return kernel_.config.fault == fault; }
    void send_start();

    Cpu& cpu_;
    KernelState& kernel_;
    Page& page_;
    const Mm& mm_;
    const NotifierRange range_;
    bool started_ = false;
    bool cleared_ = false;
    bool invalidated_ = false;
};

}  // namespace mmusim::rmap
