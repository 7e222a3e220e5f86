// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rmap/mm/clear_refs.hpp"
#include "rmap/mm/fault.hpp"
#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/madvise.hpp"
#include "rmap/mm/mlock.hpp"
#include "rmap/mm/mm_status.hpp"
#include "rmap/mm/mmap.hpp"
#include "rmap/mm/mprotect.hpp"
#include "rmap/mm/mremap.hpp"
#include "rmap/mm/oom_reap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/truncate.hpp"
#include "rmap/ports/user_page_port.hpp"
#include "rmap/reclaim/reclaim.hpp"
#include "rmap/unmap/mempolicy.hpp"
#include "rmap/unmap/migrate.hpp"
#include "rmap/unmap/page_idle.hpp"

namespace mmusim::rmap {

enum class AccessedBits { kYoung, kCleared };
enum class DirtyBits { kAsFaulted, kCleared };
enum class LruPlacement { kAsFaulted, kActive, kInactive };

/// The state in which populate() leaves the pages of a range.
struct Populate {
    Access access = Access::kWrite;  ///< how they are touched first
    AccessedBits accessed = AccessedBits::kYoung;
    /// kCleared: as if cleaned since; private entries are write-protected as well, as after a read
    /// from swap.
    DirtyBits dirty = DirtyBits::kAsFaulted;
    LruPlacement lru = LruPlacement::kAsFaulted;
};

/// The kernel engine. Everything runs on a CPU that is given; no lock may be held. During set-up,
/// one CPU whose ports let no time pass makes the machine's state; afterwards any CPU may operate
/// on it at its own local time.
class Kernel final : public UserPagePort {
public:
    Kernel(const KernelConfig& config, KernelMemory& memory, FlushPort& flush,
           InvalidationPort& notifiers)
        : state_(config, memory, flush, notifiers) {}

    // ---- set-up only ----
    AddressSpace& create_file(std::string name, std::uint64_t pages);
    /// A file in tmpfs, a memfd, or what a shared anonymous mapping maps.
    AddressSpace& create_shmem(std::string name, std::uint64_t pages);
    /// A private anonymous mapping. As of mmap_file(), the VMA that is returned may be gone after
    /// the next change of the mm.
    Vma& mmap_anon(Cpu& cpu, Mm& mm, VirtRange range, std::uint64_t more_vm_flags = 0);
    /// A mapping of a file from its page `pgoff` on.
    enum class Sharing { kShared, kPrivate };
    Vma& mmap_file(Cpu& cpu, Mm& mm, VirtRange range, AddressSpace& file, std::uint64_t pgoff = 0,
                   Sharing sharing = Sharing::kShared);
    /// Touches every page of the range in ascending order and arranges its state.
    void populate(Cpu& cpu, Mm& mm, VirtRange range, const Populate& how = {});
    /// Only the last step of populate(), for pages that are mapped already.
    void arrange(Cpu& cpu, Mm& mm, VirtRange range, const Populate& how);

    // ---- for secondary MMUs, at any time (UserPagePort) ----
    // The zero page has no struct page: what is said of it is forgotten.
    std::optional<UserPage> get_user_page(Cpu& cpu, MmId mm, VirtAddr address,
                                          Access access) override;
    void put_page(Cpu& cpu, FrameNumber frame) override;
    void mark_page_accessed(Cpu& cpu, FrameNumber frame) override;
    /// SetPageDirty(), as kvm_set_pfn_dirty() does: no event, and nobody writes the page out
    /// sooner.
    void set_page_dirty_flag(Cpu& cpu, FrameNumber frame) override;

    // ---- at any time ----
    /// An empty address space, whose pages are charged to group `memcg`.
    Mm& create_mm(Cpu& cpu, std::string name, unsigned memcg = 0);
    /// fork(2): a child with copies of all mappings; private pages are shared until written.
    Mm& fork(Cpu& cpu, Mm& parent, std::string name);
    /// The last task of the mm exits. The Mm stays, empty.
    std::uint64_t exit(Cpu& cpu, Mm& mm);
    Errno mmap(Cpu& cpu, Mm& mm, const MmapRequest& request);
    RangeResult mprotect(Cpu& cpu, Mm& mm, VirtRange range, std::uint64_t prot);
    Errno mremap(Cpu& cpu, Mm& mm, const MremapRequest& request);
    RangeResult madvise(Cpu& cpu, Mm& mm, VirtRange range, Madvise behavior);
    void clear_refs(Cpu& cpu, Mm& mm, ClearRefs type);
    FaultResult handle_page_fault(Cpu& cpu, Mm& mm, VirtAddr address, Access access);
    ReclaimResult reclaim_pages(Cpu& cpu, const ReclaimControl& control);
    MoveResult move_pages(Cpu& cpu, Mm& mm, const std::vector<VirtAddr>& addresses, NodeId nid,
                          MoveShared shared = MoveShared::kNo);
    std::int64_t migrate_pages(Cpu& cpu, Mm& mm, NodeMask from, NodeMask to, MoveShared shared);
    RangeResult mbind(Cpu& cpu, Mm& mm, VirtRange range, NodeId nid, MoveShared shared);
    std::uint64_t munmap(Cpu& cpu, Mm& mm, VirtRange range);
    OomReapResult oom_reap(Cpu& cpu, Mm& mm);
    Errno mlock(Cpu& cpu, Mm& mm, VirtRange range, MlockFlags flags = MlockFlags::kNone);
    Errno munlock(Cpu& cpu, Mm& mm, VirtRange range);
    std::uint64_t page_idle_bitmap_read(Cpu& cpu, FrameNumber first);
    std::uint64_t page_idle_bitmap_write(Cpu& cpu, FrameNumber first, std::uint64_t bits);
    void fsync(Cpu& cpu, AddressSpace& file);
    Errno msync(Cpu& cpu, Mm& mm, VirtRange range);
    Errno truncate(Cpu& cpu, AddressSpace& file, std::uint64_t pages);
    void fallocate_punch_hole(Cpu& cpu, AddressSpace& file, PageRange range);

    /// One access as a core without a TLB would make it: sets the accessed and dirty bits, faults
    /// as often as necessary. False: the process would have been killed.
    bool touch(Cpu& cpu, Mm& mm, VirtAddr address, Access access);

    /// The entry for `address`; none if there is no table.
    std::optional<Word> read_pte(Cpu& cpu, Mm& mm, VirtAddr address);
    MmStatus status(Cpu& cpu, const Mm& mm);

    /// The counts of one CPU. For reports, when that CPU has stopped.
    const ReclaimStats& reclaim_stats(CpuId cpu) const { return state_.reclaim_stats.at(cpu); }
    /// What was counted for the memory of a group. For reports, when all CPUs have stopped.
    VmEventCounts vm_events(unsigned memcg) const { return state_.vm_events.sum(memcg); }
    Mm& mm(MmId id) { return mm_of(id); }
    KernelState& state() { return state_; }

private:
    Mm& mm_of(MmId id);
    Page* page_of_frame(FrameNumber frame);
    AddressSpace& create_mapping(std::string name, FileKind kind, std::uint64_t pages);
    Vma& mmap_at_set_up(Cpu& cpu, Mm& mm, const MmapRequest& request);
    void arrange_page(Cpu& cpu, PteSlot slot, const Vma& vma, const Populate& how);

    KernelState state_;
    std::map<MmId, std::unique_ptr<Mm>> mms_;  ///< only looked up
};

}  // namespace mmusim::rmap
