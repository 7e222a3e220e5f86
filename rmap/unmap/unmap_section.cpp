// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/unmap_section.hpp"

#include <algorithm>

#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

UnmapSection::UnmapSection(Cpu& cpu, KernelState& kernel, Page& page, const Vma& vma,
                           VirtAddr address)
    : cpu_(cpu),
      kernel_(kernel),
      page_(page),
      mm_(*vma.vm_mm),
      range_{mm_.context.id, {address, std::min(vma.vm_end, address + kPageSize)}, true} {}

void UnmapSection::send_start() {
    rmap::mmu_notifier_invalidate_range_start(cpu_, kernel_, range_);
    started_ = true;
}

void UnmapSection::mmu_notifier_invalidate_range_start() {
    // The first and the third start it later, the second never.
    if (faulty(InjectedFault::kClearOutsideSection) || faulty(InjectedFault::kEndWithoutStart) ||
        faulty(InjectedFault::kStartUnderLock))
        return;
    send_start();
}

void UnmapSection::inject_start_under_lock() {
    if (faulty(InjectedFault::kStartUnderLock)) send_start();
}

void UnmapSection::inject_invalidate_before_clear(TtuFlags flags) {
    cleared_ = true;
    // Where mmu_notifier_invalidate_range() would follow.
    if (faulty(InjectedFault::kInvalidateBeforeClear) && !has(flags, TtuFlags::kMigration) &&
        page_is_anon(cpu_, page_))
        rmap::mmu_notifier_invalidate_range(cpu_, kernel_, mm_, page_range(range_.range.start));
}

void UnmapSection::mmu_notifier_invalidate_range() {
    if (faulty(InjectedFault::kSkipInvalidateRange) ||
        faulty(InjectedFault::kInvalidateBeforeClear))
        return;
    rmap::mmu_notifier_invalidate_range(cpu_, kernel_, mm_, page_range(range_.range.start));
    invalidated_ = true;
}

void UnmapSection::mmu_notifier_invalidate_range_end() {
    // Too late, but every section that ends has a start.
    if (!started_ && !faulty(InjectedFault::kEndWithoutStart)) send_start();
    // The short form is right where invalidate_range was called (rule N14), so it is a fault
    // elsewhere.
    if (faulty(InjectedFault::kOnlyEnd) && cleared_ && !invalidated_)
        rmap::mmu_notifier_invalidate_range_only_end(cpu_, kernel_, range_);
    else
        rmap::mmu_notifier_invalidate_range_end(cpu_, kernel_, range_);
    if (faulty(InjectedFault::kSecondSection)) {
        send_start();
        rmap::mmu_notifier_invalidate_range_end(cpu_, kernel_, range_);
    }
}

}  // namespace mmusim::rmap
