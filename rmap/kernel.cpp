// SPDX-License-Identifier: Apache-2.0
#include "rmap/kernel.hpp"

#include <utility>

#include "rmap/mm/exit.hpp"
#include "rmap/mm/fork.hpp"
#include "rmap/mm/fsync.hpp"
#include "rmap/mm/gup.hpp"
#include "rmap/mm/munmap.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

/// The lines of an object that is made at run time: adjacent ones of this CPU's slab.
class SlabLines final : public LineAllocator {
public:
    SlabLines(KernelMemory& memory, CpuId cpu, unsigned lines)
        : next_(memory.allocate_objects(cpu, lines)) {}

    PhysAddr allocate_line() override {
        const PhysAddr line = next_;
        next_ = next_ + kLineSize;
        return line;
    }

private:
    PhysAddr next_;
};

}  // namespace

Mm& Kernel::create_mm(Cpu& cpu, std::string name, unsigned memcg) {
    const Page& pgd = pte_alloc_one(cpu, state_);
    const MmId id = kInitMm + cpu.memory().fetch_add(state_.last_mm_ctx_id, 1, Part::kPageState);
    SlabLines lines(state_.memory, cpu.id(), Mm::kLines);
    auto mm = std::make_unique<Mm>(std::move(name), id, memcg, pgd.pfn(), lines);
    return *mms_.emplace(id, std::move(mm)).first->second;
}

AddressSpace& Kernel::create_file(std::string name, std::uint64_t pages) {
    return create_mapping(std::move(name), FileKind::kExt4, pages);
}

AddressSpace& Kernel::create_shmem(std::string name, std::uint64_t pages) {
    return create_mapping(std::move(name), FileKind::kShmem, pages);
}

AddressSpace& Kernel::create_mapping(std::string name, FileKind kind, std::uint64_t pages) {
    auto file = std::make_unique<AddressSpace>(std::move(name), kind, pages, state_.memory);
    const PhysAddr key = file->mapping().object();
    return *state_.files.emplace(key, std::move(file)).first->second;
}

Vma& Kernel::mmap_anon(Cpu& cpu, Mm& mm, VirtRange range, std::uint64_t more_vm_flags) {
    MmapRequest request;
    request.range = range;
    request.vm_flags |= more_vm_flags;
    return mmap_at_set_up(cpu, mm, request);
}

Vma& Kernel::mmap_file(Cpu& cpu, Mm& mm, VirtRange range, AddressSpace& file, std::uint64_t pgoff,
                       Sharing sharing) {
    MmapRequest request;
    request.range = range;
    request.file = &file;
    request.pgoff = pgoff;
    if (sharing == Sharing::kShared) request.vm_flags |= VmFlags::kShared | VmFlags::kMayShare;
    return mmap_at_set_up(cpu, mm, request);
}

Vma& Kernel::mmap_at_set_up(Cpu& cpu, Mm& mm, const MmapRequest& request) {
    MMUSIM_CHECK(mmap(cpu, mm, request) == Errno::kNone, "a mapping consists of whole pages");
    return *mm.find_vma(request.range.start);
}

Mm& Kernel::fork(Cpu& cpu, Mm& parent, std::string name) {
    Mm& mm = create_mm(cpu, std::move(name), parent.memcg);
    dup_mm(cpu, state_, mm, parent);
    return mm;
}

void Kernel::populate(Cpu& cpu, Mm& mm, VirtRange range, const Populate& how) {
    for (VirtAddr address = range.start; address < range.end; address = address + kPageSize)
        MMUSIM_CHECK(touch(cpu, mm, address, how.access), "only mapped memory can be populated");
    arrange(cpu, mm, range, how);
}

void Kernel::arrange(Cpu& cpu, Mm& mm, VirtRange range, const Populate& how) {
    lru_add_drain(cpu, state_);
    for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
        const Vma* vma = mm.find_vma(address);
        const auto slot = find_pte(cpu, state_, mm, address, Part::kFault);
        if (vma && slot) arrange_page(cpu, *slot, *vma, how);
    }
    lru_add_drain(cpu, state_);
}

void Kernel::arrange_page(Cpu& cpu, PteSlot slot, const Vma& vma, const Populate& how) {
    std::uint64_t cleared = 0;
    if (how.accessed == AccessedBits::kCleared) cleared |= Pte::kAccessed;
    if (how.dirty == DirtyBits::kCleared) cleared |= Pte::kDirty | Pte::kWritable;
    pte_lock(cpu, *slot.table);
    const Pte pte = pte_of(rmap::read_pte(cpu, slot.ptep));
    Page* page = pte.present() ? vm_normal_page(state_, pte) : nullptr;
    if (page && (pte.raw() & cleared)) pte_clear_bits(cpu, slot.ptep, cleared);
    pte_unlock(cpu, *slot.table);
    if (!page) return;
    // What is in memory only stays dirty.
    if (how.dirty == DirtyBits::kCleared && !vma.is_anonymous() &&
        !page->test(cpu, PageFlag::kSwapBacked))
        page->clear(cpu, PageFlag::kDirty);
    if (how.lru == LruPlacement::kActive) activate_page(cpu, state_, *page);
    if (how.lru == LruPlacement::kInactive) state_.lru.deactivate_page(cpu, *page);
}

Mm& Kernel::mm_of(MmId id) {
    const auto found = mms_.find(id);
    MMUSIM_CHECK(found != mms_.end(), "the id names a process");
    return *found->second;
}

/// The page of a frame that get_user_page() has handed out; nullptr for the zero page.
Page* Kernel::page_of_frame(FrameNumber frame) {
    return frame == state_.zero_page ? nullptr : &state_.pages.pfn_to_page(frame);
}

std::optional<UserPage> Kernel::get_user_page(Cpu& cpu, MmId mm, VirtAddr address, Access access) {
    return rmap::get_user_page(cpu, state_, mm_of(mm), address, access);
}

void Kernel::put_page(Cpu& cpu, FrameNumber frame) {
    if (Page* page = page_of_frame(frame)) rmap::put_page(cpu, state_, *page);
}

void Kernel::mark_page_accessed(Cpu& cpu, FrameNumber frame) {
    if (Page* page = page_of_frame(frame)) rmap::mark_page_accessed(cpu, state_, *page);
}

void Kernel::set_page_dirty_flag(Cpu& cpu, FrameNumber frame) {
    if (Page* page = page_of_frame(frame)) page->set(cpu, PageFlag::kDirty);
}

FaultResult Kernel::handle_page_fault(Cpu& cpu, Mm& mm, VirtAddr address, Access access) {
    return rmap::handle_page_fault(cpu, state_, mm, address, access);
}

ReclaimResult Kernel::reclaim_pages(Cpu& cpu, const ReclaimControl& control) {
    return rmap::reclaim_pages(cpu, state_, control);
}

MoveResult Kernel::move_pages(Cpu& cpu, Mm& mm, const std::vector<VirtAddr>& addresses, NodeId nid,
                              MoveShared shared) {
    return rmap::move_pages(cpu, state_, mm, addresses, nid, shared);
}

std::int64_t Kernel::migrate_pages(Cpu& cpu, Mm& mm, NodeMask from, NodeMask to,
                                   MoveShared shared) {
    return migrate_pages_call(cpu, state_, mm, from, to, shared);
}

RangeResult Kernel::mbind(Cpu& cpu, Mm& mm, VirtRange range, NodeId nid, MoveShared shared) {
    return rmap::mbind(cpu, state_, mm, range, nid, shared);
}

std::uint64_t Kernel::munmap(Cpu& cpu, Mm& mm, VirtRange range) {
    return rmap::munmap(cpu, state_, mm, range);
}

std::uint64_t Kernel::exit(Cpu& cpu, Mm& mm) { return exit_mm(cpu, state_, mm); }

Errno Kernel::mmap(Cpu& cpu, Mm& mm, const MmapRequest& request) {
    return rmap::mmap(cpu, state_, mm, request);
}

RangeResult Kernel::mprotect(Cpu& cpu, Mm& mm, VirtRange range, std::uint64_t prot) {
    return rmap::mprotect(cpu, state_, mm, range, prot);
}

Errno Kernel::mremap(Cpu& cpu, Mm& mm, const MremapRequest& request) {
    return rmap::mremap(cpu, state_, mm, request);
}

RangeResult Kernel::madvise(Cpu& cpu, Mm& mm, VirtRange range, Madvise behavior) {
    return rmap::madvise(cpu, state_, mm, range, behavior);
}

void Kernel::clear_refs(Cpu& cpu, Mm& mm, ClearRefs type) {
    clear_refs_write(cpu, state_, mm, type);
}

OomReapResult Kernel::oom_reap(Cpu& cpu, Mm& mm) { return oom_reap_task_mm(cpu, state_, mm); }

Errno Kernel::mlock(Cpu& cpu, Mm& mm, VirtRange range, MlockFlags flags) {
    return rmap::mlock(cpu, state_, mm, range, flags);
}

Errno Kernel::munlock(Cpu& cpu, Mm& mm, VirtRange range) {
    return rmap::munlock(cpu, state_, mm, range);
}

std::uint64_t Kernel::page_idle_bitmap_read(Cpu& cpu, FrameNumber first) {
    return rmap::page_idle_bitmap_read(cpu, state_, first);
}

std::uint64_t Kernel::page_idle_bitmap_write(Cpu& cpu, FrameNumber first, std::uint64_t bits) {
    return rmap::page_idle_bitmap_write(cpu, state_, first, bits);
}

void Kernel::fsync(Cpu& cpu, AddressSpace& file) { rmap::fsync(cpu, state_, file); }

Errno Kernel::msync(Cpu& cpu, Mm& mm, VirtRange range) {
    return rmap::msync(cpu, state_, mm, range);
}

Errno Kernel::truncate(Cpu& cpu, AddressSpace& file, std::uint64_t pages) {
    return rmap::truncate(cpu, state_, file, pages);
}

void Kernel::fallocate_punch_hole(Cpu& cpu, AddressSpace& file, PageRange range) {
    rmap::fallocate_punch_hole(cpu, state_, file, range);
}

bool Kernel::touch(Cpu& cpu, Mm& mm, VirtAddr address, Access access) {
    const bool write = access == Access::kWrite;
    for (;;) {
        if (const auto slot = find_pte(cpu, state_, mm, address, Part::kUser)) {
            // The conditional update of a walker: an entry that changed is looked at again.
            bool allowed = false;
            const auto use = [&](Word old, Instant) {
                const Pte pte{old.value};
                allowed = pte.valid() && (!write || pte.writable());
                if (!allowed) return old;
                const Pte used = pte.with(Pte::kAccessed | (write ? Pte::kDirty : 0));
                return Word{used.raw(), old.generation};
            };
            cpu.memory().read_modify_write(slot->ptep, use, Part::kUser);
            if (allowed) return true;
        }
        if (handle_page_fault(cpu, mm, address, access) != FaultResult::kHandled) return false;
    }
}

std::optional<Word> Kernel::read_pte(Cpu& cpu, Mm& mm, VirtAddr address) {
    const auto slot = find_pte(cpu, state_, mm, address, Part::kUser);
    if (!slot) return std::nullopt;
    return rmap::read_pte(cpu, slot->ptep, Part::kUser);
}

MmStatus Kernel::status(Cpu& cpu, const Mm& mm) { return mm_status(cpu, mm); }

}  // namespace mmusim::rmap
