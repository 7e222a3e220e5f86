// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mmap.hpp"

#include <utility>

#include "rmap/mm/gup.hpp"
#include "rmap/mm/munmap.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/vma_adjust.hpp"
#include "rmap/mm/vma_merge.hpp"

namespace mmusim::rmap {

namespace {

/// accountable_mapping(): private and writable memory counts against the commit limit.
bool accountable_mapping(std::uint64_t vm_flags) {
    return (vm_flags & (VmFlags::kShared | VmFlags::kWrite)) == VmFlags::kWrite;
}

/// vma_link()
Vma& link_new_vma(Cpu& cpu, Mm& mm, std::unique_ptr<Vma> created) {
    AddressSpace* file = created->vm_file;
    if (file) i_mmap_lock_write(cpu, *file);
    Vma& vma = link_vma(mm, std::move(created));
    if (file) {
        file->i_mmap.insert(vma, vma.first_pgoff(), vma.last_pgoff());
        i_mmap_unlock_write(cpu, *file);
    }
    return vma;
}

/// A VMA of its own for the range.
Vma& create_vma(Cpu& cpu, KernelState& kernel, Mm& mm, const MergeRequest& request) {
    auto created = vm_area_alloc(cpu, kernel);
    created->vm_start = request.range.start;
    created->vm_end = request.range.end;
    created->vm_pgoff = request.pgoff;
    created->vm_file = request.file;
    set_vm_flags(cpu, *created, request.vm_flags);
    return link_new_vma(cpu, mm, std::move(created));
}

/// do_mmap(): `populate` are the bytes that are to be faulted in.
Errno do_mmap(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request,
              std::uint64_t& populate) {
    const VirtRange range = request.range;
    if (range.start >= range.end || page_start(range.start) != range.start) return Errno::kInvalid;
    mmap_region(cpu, kernel, mm, request);
    if (request.vm_flags & VmFlags::kLocked) populate = range.end - range.start;
    return Errno::kNone;
}

}  // namespace

Vma& mmap_region(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request) {
    do_munmap(cpu, kernel, mm, request.range, Downgrade::kNo);
    const std::uint64_t account = accountable_mapping(request.vm_flags) ? VmFlags::kAccount : 0;
    MergeRequest merge;
    merge.range = request.range;
    merge.vm_flags = request.vm_flags | account;
    merge.file = request.file;
    merge.pgoff = request.file ? request.pgoff : page_of(request.range.start).value;
    Vma* vma = vma_merge(cpu, kernel, mm, merge);
    if (!vma) vma = &create_vma(cpu, kernel, mm, merge);
    vm_stat_account(mm, vma->vm_flags, static_cast<std::int64_t>(request.range.pages()));
    if (request.vm_flags & VmFlags::kLocked) mm.locked_vm += request.range.pages();
    return *vma;
}

Errno mmap(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request) {
    MmapRequest whole = request;
    whole.range.end = page_start(request.range.end + (kPageSize - 1));  // PAGE_ALIGN()
    const std::uint64_t pages = whole.range.pages();
    Syscall call(cpu, OperationKind::kMmap, pages);
    std::uint64_t populate = 0;
    mmap_sem_lock_write(cpu, mm);
    const Errno error = do_mmap(cpu, kernel, mm, whole, populate);
    mmap_sem_unlock_write(cpu, mm);
    if (populate > 0) mm_populate(cpu, kernel, mm, whole.range);
    call.exit(error == Errno::kNone ? pages : 0);
    return error;
}

void copy_vma(Cpu& cpu, KernelState& kernel, Vma*& vma, const VmaBounds& to, NeedRmapLocks& locks) {
    Mm& mm = *vma->vm_mm;
    MergeRequest merge;
    merge.range = to.range;
    merge.vm_flags = vma->vm_flags;
    merge.anon_vma = vma_anon_vma(cpu, kernel, *vma);
    merge.file = vma->vm_file;
    // What was never touched gets offsets that fit its new neighbours, so that it can be merged.
    const bool untouched = vma->is_anonymous() && !merge.anon_vma;
    merge.pgoff = untouched ? page_of(to.range.start).value : to.pgoff;

    locks = NeedRmapLocks::kNo;
    const VirtAddr old_start = vma->vm_start;
    if (Vma* merged = vma_merge(cpu, kernel, mm, merge)) {
        if (merged->range().contains(old_start)) vma = merged;
        // A walk that visits the new place before the old one could miss an entry on its way.
        if (merged->vm_pgoff <= vma->vm_pgoff) locks = NeedRmapLocks::kYes;
        return;
    }
    auto created = vm_area_dup(cpu, kernel, *vma);
    created->vm_start = to.range.start;
    created->vm_end = to.range.end;
    created->vm_pgoff = merge.pgoff;
    anon_vma_clone(cpu, kernel, *created, *vma);
    link_new_vma(cpu, mm, std::move(created));
}

}  // namespace mmusim::rmap
