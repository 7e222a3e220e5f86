// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fsync.hpp"

#include <algorithm>

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_writeback.hpp"

namespace mmusim::rmap {

namespace {

/// The loop of msync(2) over the VMAs: like that of madvise(2), but mmap_sem is not taken again
/// behind the last file.
Errno sync_vmas(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    Errno unmapped_error = Errno::kNone;
    mmap_sem_lock_read(cpu, mm);
    for (VirtAddr start = range.start; start < range.end;) {
        const Vma* vma = mm.find_vma_ending_after(start);
        if (!vma || vma->vm_start > start) unmapped_error = Errno::kNoMemory;
        if (!vma || vma->vm_start >= range.end) break;
        start = std::max(start, vma->vm_start);
        const VirtAddr end = std::min(range.end, vma->vm_end);
        if (vma->vm_file && vma->has(VmFlags::kShared)) {
            AddressSpace& file = *vma->vm_file;
            const PageRange pages{vma->page_index(start), vma->page_index(end) - 1};
            mmap_sem_unlock_read(cpu, mm);
            filemap_write_and_wait_range(cpu, kernel, file, pages);
            if (end >= range.end) return unmapped_error;
            mmap_sem_lock_read(cpu, mm);
        }
        start = end;
    }
    mmap_sem_unlock_read(cpu, mm);
    return unmapped_error;
}

}  // namespace

void fsync(Cpu& cpu, KernelState& kernel, AddressSpace& file) {
    Syscall call(cpu, OperationKind::kFsync, file.pages);
    filemap_write_and_wait_range(cpu, kernel, file, file.all());
    call.exit(file.pages);
}

Errno msync(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    Syscall call(cpu, OperationKind::kFsync, range.pages());
    const Errno error = sync_vmas(cpu, kernel, mm, range);
    call.exit(range.pages());
    return error;
}

}  // namespace mmusim::rmap
