// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/unmap_vmas.hpp"

#include <algorithm>

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/zap.hpp"

namespace mmusim::rmap {

namespace {

void unlink_file_vma(Cpu& cpu, Vma& vma) {
    if (!vma.vm_file) return;
    i_mmap_lock_write(cpu, *vma.vm_file);
    vma.vm_file->i_mmap.remove(vma, vma.first_pgoff());
    i_mmap_unlock_write(cpu, *vma.vm_file);
}

}  // namespace

std::uint64_t unmap_single_vma(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Vma& vma,
                               VirtRange range) {
    const VirtAddr start = std::max(vma.vm_start, range.start);
    const VirtAddr end = std::min(vma.vm_end, range.end);
    return start < end ? unmap_page_range(cpu, kernel, tlb, vma, {start, end}) : 0;
}

void free_pgtables(Cpu& cpu, KernelState& kernel, MmuGather& tlb, Mm& mm, const DetachedVmas& vmas,
                   VirtAddr floor, VirtAddr ceiling) {
    const VirtRange all{vmas.front()->vm_start, vmas.back()->vm_end};
    cpu.emit(Event::kFreePgtables, {mm.context.id, all.start.value, all.end.value});
    for (std::size_t i = 0; i < vmas.size(); ++i) {
        const VirtAddr start = vmas[i]->vm_start;
        unlink_anon_vmas(cpu, kernel, *vmas[i]);
        unlink_file_vma(cpu, *vmas[i]);
        // VMAs that are close to each other, and may share a table, go down together.
        while (i + 1 < vmas.size() && vmas[i + 1]->vm_start <= vmas[i]->vm_end + kLargeSize) {
            ++i;
            unlink_anon_vmas(cpu, kernel, *vmas[i]);
            unlink_file_vma(cpu, *vmas[i]);
        }
        const VirtAddr next = i + 1 < vmas.size() ? vmas[i + 1]->vm_start : ceiling;
        free_pgd_range(cpu, kernel, tlb, mm, {start, vmas[i]->vm_end}, floor, next);
    }
}

std::uint64_t zap_page_range(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range) {
    Mm& mm = *vma.vm_mm;
    const NotifierRange section{mm.context.id, range, true};
    cpu.emit(Event::kZapPageRange, {mm.context.id, range.start.value, range.end.value});
    lru_add_drain(cpu, kernel);
    MmuGather tlb(cpu, kernel, mm, range);
    update_hiwater_rss(cpu, mm);
    mmu_notifier_invalidate_range_start(cpu, kernel, section);
    std::uint64_t cleared = 0;
    for (Vma* at = &vma; at && at->vm_start < range.end; at = mm.next(*at))
        cleared += unmap_single_vma(cpu, kernel, tlb, *at, range);
    mmu_notifier_invalidate_range_end(cpu, kernel, section);
    tlb.finish();
    return cleared;
}

}  // namespace mmusim::rmap
