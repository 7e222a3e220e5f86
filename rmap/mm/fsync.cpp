// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fsync.hpp"

#include <algorithm>

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_writeback.hpp"

namespace mmusim::rmap {

namespace {

/// The loop of msync(2) over the VMAs; mmap_sem held.
bool sync_vmas(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    bool all_mapped = true;
    VirtAddr start = range.start;
    while (start < range.end) {
        const Vma* vma = mm.find_vma(start);
        if (!vma) {
            all_mapped = false;
            const auto next = mm.mmap.lower_bound(start);
            if (next == mm.mmap.end()) break;
            start = next->first;
            continue;
        }
        const VirtAddr end = std::min(range.end, vma->vm_end);
        if (vma->vm_file && vma->has(VmFlags::kShared)) {
            AddressSpace& file = *vma->vm_file;
            const PageRange pages{vma->page_index(start), vma->page_index(end) - 1};
            mmap_sem_unlock_read(cpu, mm);
            filemap_write_and_wait_range(cpu, kernel, file, pages);
            mmap_sem_lock_read(cpu, mm);
        }
        start = end;
    }
    return all_mapped;
}

}  // namespace

void fsync(Cpu& cpu, KernelState& kernel, AddressSpace& file) {
    const OperationId call = begin_operation(cpu, OperationKind::kFsync, file.pages);
    cpu.spend(cpu.costs().syscall_entry, Part::kSyscall);
    filemap_write_and_wait_range(cpu, kernel, file, file.all());
    cpu.spend(cpu.costs().syscall_exit, Part::kSyscall);
    end_operation(cpu, call, OperationKind::kFsync, Outcome::kDone, file.pages);
}

bool msync(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    const OperationId call = begin_operation(cpu, OperationKind::kFsync, range.pages());
    cpu.spend(cpu.costs().syscall_entry, Part::kSyscall);
    mmap_sem_lock_read(cpu, mm);
    const bool all_mapped = sync_vmas(cpu, kernel, mm, range);
    mmap_sem_unlock_read(cpu, mm);
    cpu.spend(cpu.costs().syscall_exit, Part::kSyscall);
    end_operation(cpu, call, OperationKind::kFsync, Outcome::kDone, range.pages());
    return all_mapped;
}

}  // namespace mmusim::rmap
