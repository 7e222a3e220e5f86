// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mmap.hpp"

#include <algorithm>
#include <utility>

#include "rmap/mm/fork_ptes.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

Vma& link_vma(Mm& mm, std::unique_ptr<Vma> vma) {
    vma->vm_mm = &mm;
    Vma& linked = *vma;
    MMUSIM_CHECK(mm.mmap.emplace(linked.vm_start, std::move(vma)).second,
                 "two VMAs of an mm do not start at one address");
    return linked;
}

/// vm_area_dup(), with words of its own in `line`.
std::unique_ptr<Vma> vm_area_dup(Cpu& cpu, const Vma& original, PhysAddr line) {
    auto vma = std::make_unique<Vma>(original);
    vma->anon_vma_chain.clear();
    vma->anon_vma = line;
    set_vm_flags(cpu, *vma, original.vm_flags);
    return vma;
}

/// accountable_mapping(): private and writable memory counts against the commit limit.
bool accountable_mapping(std::uint64_t vm_flags) {
    return (vm_flags & (VmFlags::kShared | VmFlags::kWrite)) == VmFlags::kWrite;
}

/// The locks of all trees that a VMA is in, held for writing while its range changes.
class TreeLocks {
public:
    TreeLocks(Cpu& cpu, KernelState& kernel, Vma& vma)
        : cpu_(cpu), file_(vma.vm_file), anon_vma_(vma_anon_vma(cpu, kernel, vma)) {
        if (file_) i_mmap_lock_write(cpu_, *file_);
        if (anon_vma_) anon_vma_lock_write(cpu_, *anon_vma_);
    }
    void unlock() {
        if (anon_vma_) anon_vma_unlock_write(cpu_, *anon_vma_);
        if (file_) i_mmap_unlock_write(cpu_, *file_);
    }

private:
    Cpu& cpu_;
    AddressSpace* file_;
    AnonVma* anon_vma_;
};

void insert_into_trees(Vma& vma) {
    for (AnonVma* anon_vma : vma.anon_vma_chain)
        anon_vma->rb_root.insert(vma, vma.first_pgoff(), vma.last_pgoff());
    if (vma.vm_file) vma.vm_file->i_mmap.insert(vma, vma.first_pgoff(), vma.last_pgoff());
}

void remove_from_trees(Vma& vma) {
    for (AnonVma* anon_vma : vma.anon_vma_chain) anon_vma->rb_root.remove(vma, vma.first_pgoff());
    if (vma.vm_file) vma.vm_file->i_mmap.remove(vma, vma.first_pgoff());
}

}  // namespace

Vma& mmap_region(Cpu& cpu, KernelState& kernel, Mm& mm, const MmapRequest& request) {
    const VirtRange range = request.range;
    MMUSIM_CHECK(range.start < range.end && page_start(range.start) == range.start &&
                     page_start(range.end) == range.end,
                 "a mapping consists of whole pages");
    mmap_sem_lock_write(cpu, mm);
    const bool overlaps = std::any_of(mm.mmap.begin(), mm.mmap.end(), [&](const auto& entry) {
        return entry.second->range().overlaps(range);
    });
    MMUSIM_CHECK(!overlaps, "mappings do not overlap");

    auto created = std::make_unique<Vma>();
    created->vm_start = range.start;
    created->vm_end = range.end;
    created->vm_pgoff = request.file ? request.pgoff : page_of(range.start).value;
    created->vm_file = request.file;
    created->anon_vma = kernel.memory.allocate_line();
    const std::uint64_t account = accountable_mapping(request.vm_flags) ? VmFlags::kAccount : 0;
    set_vm_flags(cpu, *created, request.vm_flags | account);
    Vma& vma = link_vma(mm, std::move(created));
    if (vma.vm_file) {
        MMUSIM_CHECK(vma.last_pgoff() < vma.vm_file->pages, "a mapping ends within its file");
        i_mmap_lock_write(cpu, *vma.vm_file);
        vma.vm_file->i_mmap.insert(vma, vma.first_pgoff(), vma.last_pgoff());
        i_mmap_unlock_write(cpu, *vma.vm_file);
    }
    mm.total_vm += range.pages();
    mmap_sem_unlock_write(cpu, mm);
    return vma;
}

void dup_mmap(Cpu& cpu, KernelState& kernel, Mm& mm, Mm& oldmm) {
    mmap_sem_lock_write(cpu, oldmm);
    mm.total_vm = oldmm.total_vm;
    for (const auto& entry : oldmm.mmap) {
        const Vma& mpnt = *entry.second;
        Vma& vma = link_vma(mm, vm_area_dup(cpu, mpnt, kernel.memory.allocate_line()));
        // Memory locks are not inherited.
        set_vm_flags(cpu, vma, vma.vm_flags & ~(VmFlags::kLocked | VmFlags::kLockOnFault));
        anon_vma_fork(cpu, kernel, vma, mpnt);
        if (vma.vm_file) {
            i_mmap_lock_write(cpu, *vma.vm_file);
            vma.vm_file->i_mmap.insert_after(vma, vma.first_pgoff(), vma.last_pgoff(), mpnt);
            i_mmap_unlock_write(cpu, *vma.vm_file);
        }
        copy_page_range(cpu, kernel, vma, mpnt);
    }
    // The parent's writable entries were write-protected and are still in its TLBs.
    kernel.flush.flush_tlb_mm(cpu, oldmm.context);
    mmap_sem_unlock_write(cpu, oldmm);
}

Vma& split_vma(Cpu& cpu, KernelState& kernel, Vma& vma, VirtAddr address) {
    auto created = vm_area_dup(cpu, vma, kernel.memory.allocate_object(cpu.id()));
    created->vm_start = address;
    created->vm_pgoff = vma.page_index(address);
    if (const AnonVma* anon_vma = vma_anon_vma(cpu, kernel, vma))
        cpu.memory().store(created->anon_vma, {anon_vma->line.value, 0}, Part::kPageState);
    anon_vma_clone(cpu, kernel, *created, vma);

    // vma_adjust(): whoever walks the trees sees both parts or the whole.
    TreeLocks locks(cpu, kernel, vma);
    remove_from_trees(vma);
    vma.vm_end = address;
    insert_into_trees(vma);
    if (created->vm_file)
        created->vm_file->i_mmap.insert(*created, created->first_pgoff(), created->last_pgoff());
    Vma& upper = link_vma(*vma.vm_mm, std::move(created));
    locks.unlock();
    return upper;
}

}  // namespace mmusim::rmap
