// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mremap.hpp"

#include <algorithm>

#include "rmap/mm/gup.hpp"
#include "rmap/mm/mmap.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/munmap.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/unmap/unmap_flush.hpp"

namespace mmusim::rmap {

namespace {

/// take_rmap_locks() and drop_rmap_locks(), where they are needed.
class RmapLocks {
public:
    RmapLocks(Cpu& cpu, KernelState& kernel, const Vma& vma, NeedRmapLocks need) : cpu_(cpu) {
        if (need == NeedRmapLocks::kNo) return;
        file_ = vma.vm_file;
        anon_vma_ = vma_anon_vma(cpu, kernel, vma);
        if (file_) i_mmap_lock_write(cpu_, *file_);
        if (anon_vma_) anon_vma_lock_write(cpu_, *anon_vma_);
    }
    void drop() {
        if (anon_vma_) anon_vma_unlock_write(cpu_, *anon_vma_);
        if (file_) i_mmap_unlock_write(cpu_, *file_);
    }

private:
    Cpu& cpu_;
    AddressSpace* file_ = nullptr;
    AnonVma* anon_vma_ = nullptr;
};

/// The locks of both tables, unless it is one table.
void lock_tables(Cpu& cpu, const PteSlot& old_slot, const PteSlot& new_slot) {
    pte_lock(cpu, *old_slot.table);
    if (new_slot.table != old_slot.table) pte_lock(cpu, *new_slot.table);
}
void unlock_tables(Cpu& cpu, const PteSlot& old_slot, const PteSlot& new_slot) {
    if (new_slot.table != old_slot.table) pte_unlock(cpu, *new_slot.table);
    pte_unlock(cpu, *old_slot.table);
}

/// move_page_tables() and what it calls: entries of `vma` move to another place of the same mm.
class MovePageTables {
public:
    MovePageTables(Cpu& cpu, KernelState& kernel, Vma& vma, NeedRmapLocks need_rmap_locks)
        : cpu_(cpu), kernel_(kernel), vma_(vma), mm_(*vma.vm_mm), need_(need_rmap_locks) {}

    void run(VirtRange old_range, VirtAddr new_address) {
        cpu_.emit(Event::kMovePageTables, {mm_.context.id, old_range.start.value, new_address.value,
                                           old_range.end - old_range.start});
        // The new place is not in the section: nobody has used it yet.
        const NotifierRange section{mm_.context.id, old_range, true};
        mmu_notifier_invalidate_range_start(cpu_, kernel_, section);
        for (VirtAddr old = old_range.start; old < old_range.end;) {
            const std::uint64_t extent = move_tables({old, old_range.end}, new_address);
            old = old + extent;
            new_address = new_address + extent;
        }
        mmu_notifier_invalidate_range_end(cpu_, kernel_, section);
    }

private:
    /// What one PMD covers here, and at the new place. Returns the bytes that are done.
    std::uint64_t move_tables(VirtRange rest, VirtAddr to) {
        const std::uint64_t extent = pmd_addr_end(rest.start, rest.end) - rest.start;
        const auto old_pmd = find_pmd(cpu_, kernel_, mm_, rest.start, Part::kPageWalk);
        if (!old_pmd || pte_of(cpu_.memory().load(old_pmd->ptep, Part::kPageWalk)).none())
            return extent;
        const PteSlot new_pmd = pmd_alloc(cpu_, kernel_, mm_, to, Part::kPageWalk);
        if (extent == kLargeSize) {
            RmapLocks locks(cpu_, kernel_, vma_, need_);
            const bool moved = move_normal_pmd(rest.start, to, *old_pmd, new_pmd);
            locks.drop();
            if (moved) return extent;
        }
        const std::uint64_t both = std::min(extent, pmd_addr_end(to, to + extent) - to);
        move_ptes({rest.start, rest.start + both}, to);
        return both;
    }

    /// A whole table changes its place in one step. False: it cannot.
    bool move_normal_pmd(VirtAddr from, VirtAddr to, const PteSlot& old_pmd,
                         const PteSlot& new_pmd) {
        if (to.value & (kLargeSize - 1)) return false;
        if (!pte_of(cpu_.memory().load(new_pmd.ptep, Part::kPageTables)).none()) return false;
        lock_tables(cpu_, old_pmd, new_pmd);
        const Word pmd = cpu_.memory().load(old_pmd.ptep, Part::kPageTables);
        cpu_.memory().store(old_pmd.ptep, {}, Part::kPageTables);
        cpu_.memory().store(new_pmd.ptep, pmd, Part::kPageTables);
        cpu_.emit(Event::kMoveNormalPmd, {mm_.context.id, from.value, to.value, pmd.value});
        kernel_.flush.flush_tlb_mm_range(cpu_, mm_.context, {from, from + kLargeSize}, kPageShift,
                                         false);
        unlock_tables(cpu_, old_pmd, new_pmd);
        return true;
    }

    /// One table, or the part of it that goes to one table.
    void move_ptes(VirtRange range, VirtAddr to) {
        const PteSlot new_slot = pte_alloc(cpu_, kernel_, mm_, to, Part::kPageWalk);
        RmapLocks locks(cpu_, kernel_, vma_, need_);
        // It was there a moment ago, and mmap_sem keeps it.
        const PteSlot old_slot = *find_pte(cpu_, kernel_, mm_, range.start, Part::kPageWalk);
        lock_tables(cpu_, old_slot, new_slot);
        flush_tlb_batched_pending(cpu_, kernel_, mm_);
        bool force_flush = false;
        PhysAddr new_ptep = new_slot.ptep;
        PhysAddr old_ptep = old_slot.ptep;
        for (VirtAddr from = range.start; from < range.end; from = from + kPageSize) {
            force_flush |= move_pte({from, old_ptep}, {to, new_ptep});
            to = to + kPageSize;
            old_ptep = old_ptep + 8;
            new_ptep = new_ptep + 8;
        }
        // Before anybody can find an old place empty and trust it (rule T10).
        if (force_flush)
            kernel_.flush.flush_tlb_mm_range(cpu_, mm_.context, range, kPageShift, false);
        unlock_tables(cpu_, old_slot, new_slot);
        locks.drop();
    }

    struct Place {
        VirtAddr address;
        PhysAddr ptep;
    };
    /// Returns whether a present entry moved.
    bool move_pte(const Place& from, const Place& to) {
        const Pte found = pte_of(read_pte(cpu_, from.ptep));
        if (found.none()) return false;
        if (!found.present()) {
            const Word old = cpu_.memory().exchange(from.ptep, {}, Part::kPteAccess);
            set_pte_at(cpu_, to.ptep, pte_of(old), old.generation);
            return false;
        }
        const Word old = ptep_get_and_clear(cpu_, mm_, from.address, from.ptep);
        set_present_pte(cpu_, mm_, to.address, to.ptep, pte_of(old), old.generation);
        return true;
    }

    Cpu& cpu_;
    KernelState& kernel_;
    Vma& vma_;
    Mm& mm_;
    const NeedRmapLocks need_;
};

/// vma_to_resize(): nullptr if the range is not within one VMA.
Vma* vma_to_resize(const Mm& mm, VirtRange range) {
    Vma* vma = mm.find_vma(range.start);
    return vma && range.end <= vma->vm_end ? vma : nullptr;
}

/// What mremap() has to do besides on its way out.
struct Mremapped {
    Unmapped shrunk;      ///< do_munmap() may have downgraded mmap_sem
    bool locked = false;  ///< what was added is to be faulted in
};

void move_vma(Cpu& cpu, KernelState& kernel, Mm& mm, Vma& old_vma, VirtRange old_range,
              VirtRange new_range, Mremapped& done) {
    Vma* vma = &old_vma;
    NeedRmapLocks need_rmap_locks{};
    const VmaBounds to{new_range, vma->page_index(old_range.start)};
    copy_vma(cpu, kernel, vma, to, need_rmap_locks);
    MovePageTables(cpu, kernel, *vma, need_rmap_locks).run(old_range, new_range.start);

    // For a moment total_vm has both places; the high-water mark must not keep that.
    const std::uint64_t hiwater_vm = mm.hiwater_vm;
    const std::uint64_t vm_flags = vma->vm_flags;
    vm_stat_account(mm, vm_flags, static_cast<std::int64_t>(new_range.pages()));
    do_munmap(cpu, kernel, mm, old_range, Downgrade::kNo);
    mm.hiwater_vm = hiwater_vm;
    if (vm_flags & VmFlags::kLocked) {
        mm.locked_vm += new_range.pages();
        done.locked = true;
    }
}

/// mremap_to()
Errno mremap_to(Cpu& cpu, KernelState& kernel, Mm& mm, const MremapRequest& request,
                Mremapped& done) {
    const std::uint64_t new_bytes = request.new_pages * kPageSize;
    const VirtRange to{*request.new_address, *request.new_address + new_bytes};
    VirtRange from = request.old_range;
    if (page_start(to.start) != to.start || to.overlaps(from)) return Errno::kInvalid;
    do_munmap(cpu, kernel, mm, to, Downgrade::kNo);
    if (from.pages() > request.new_pages) {
        do_munmap(cpu, kernel, mm, {from.start + new_bytes, from.end}, Downgrade::kNo);
        from.end = from.start + new_bytes;
    }
    Vma* vma = vma_to_resize(mm, from);
    if (!vma) return Errno::kFault;
    move_vma(cpu, kernel, mm, *vma, from, to, done);
    return Errno::kNone;
}

/// vma_expandable()
bool vma_expandable(const Mm& mm, const Vma& vma, VirtAddr end) {
    const Vma* next = mm.next(vma);
    return !next || end <= next->vm_start;
}

/// The part of mremap() that grows a VMA where it is.
Errno expand(Cpu& cpu, KernelState& kernel, Mm& mm, const MremapRequest& request, Mremapped& done) {
    Vma* vma = vma_to_resize(mm, request.old_range);
    if (!vma) return Errno::kFault;
    const VirtAddr end = request.old_range.start + request.new_pages * kPageSize;
    if (request.old_range.end != vma->vm_end || !vma_expandable(mm, *vma, end))
        return Errno::kNoMemory;
    const std::uint64_t pages = (end - vma->vm_end) / kPageSize;
    vma_adjust(cpu, kernel, *vma, {{vma->vm_start, end}, vma->vm_pgoff});
    vm_stat_account(mm, vma->vm_flags, static_cast<std::int64_t>(pages));
    if (vma->has(VmFlags::kLocked)) {
        mm.locked_vm += pages;
        done.locked = true;
    }
    return Errno::kNone;
}

/// With mmap_sem held for writing.
Errno mremap_locked(Cpu& cpu, KernelState& kernel, Mm& mm, const MremapRequest& request,
                    Mremapped& done) {
    if (request.new_address) return mremap_to(cpu, kernel, mm, request, done);
    const VirtRange old = request.old_range;
    if (request.new_pages > old.pages()) return expand(cpu, kernel, mm, request, done);
    const VirtRange tail{old.start + request.new_pages * kPageSize, old.end};
    if (tail.start < tail.end) done.shrunk = do_munmap(cpu, kernel, mm, tail, Downgrade::kYes);
    return Errno::kNone;
}

/// What is new of a locked mapping.
void populate_added(Cpu& cpu, KernelState& kernel, Mm& mm, const MremapRequest& request) {
    const std::uint64_t old_pages = request.old_range.pages();
    if (request.new_pages <= old_pages) return;
    const VirtAddr start = request.new_address.value_or(request.old_range.start);
    mm_populate(cpu, kernel, mm,
                {start + old_pages * kPageSize, start + request.new_pages * kPageSize});
}

}  // namespace

Errno mremap(Cpu& cpu, KernelState& kernel, Mm& mm, const MremapRequest& request) {
    const VirtRange old = request.old_range;
    Syscall call(cpu, OperationKind::kMremap, old.pages());
    Errno error = Errno::kInvalid;
    if (request.new_pages > 0 && old.pages() > 0 && page_start(old.start) == old.start) {
        Mremapped done;
        mmap_sem_lock_write(cpu, mm);
        error = mremap_locked(cpu, kernel, mm, request, done);
        mmap_sem_unlock(cpu, mm, done.shrunk);
        if (done.locked) populate_added(cpu, kernel, mm, request);
    }
    call.exit(error == Errno::kNone ? request.new_pages : 0);
    return error;
}

}  // namespace mmusim::rmap
