// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "rmap/mm/vma.hpp"
#include "rmap/ports/flush_port.hpp"
#include "rmap/ports/line_allocator.hpp"
#include "rmap/sync/lock.hpp"

namespace mmusim::rmap {

/// The counters of mm->rss_stat.
enum class MmCounter : unsigned { kFilePages = 0, kAnonPages = 1, kSwapEnts = 2, kShmemPages = 3 };
inline constexpr unsigned kMmCounters = 4;

/// struct mm_struct.
struct Mm {
    /// Takes kLines of `lines`; `pgd` is an empty table.
    Mm(std::string mm_name, MmId id, unsigned group, FrameNumber pgd, LineAllocator& lines);
    Mm(const Mm&) = delete;
    Mm& operator=(const Mm&) = delete;

    /// tlb_gen, mmap_sem, page_table_lock, rss_stat, tlb_flush_batched and the cpumask.
    static constexpr unsigned kLines = 5 + CpuMask::kWords * 8 / kLineSize;

    const std::string name;
    MmContext context;
    unsigned memcg;  ///< the group that its new pages are charged to; plain, set by set-up

    RwLock mmap_sem;
    Lock page_table_lock;

    // Words.
    PhysAddr rss_stat;           ///< kMmCounters of them
    PhysAddr hiwater_rss;        ///< written without a lock: concurrent updates may get lost
    PhysAddr pgtables_bytes;     ///< of page-table pages of all levels but the top one
    PhysAddr tlb_flush_batched;  ///< a bool in v5.0 (hazard HZ9)
    PhysAddr tlb_flush_pending;  ///< open mmu_gathers and mprotects
    PhysAddr mmlist;             ///< 1: on the list of mms that may have swap entries

    // mmap_sem.
    std::map<VirtAddr, std::unique_ptr<Vma>> mmap;  ///< by start
    // Pages: vm_stat_account() counts them by what the VMAs are for. munmap lowers them with
    // mmap_sem downgraded, when no other reader looks at them.
    std::uint64_t total_vm = 0;
    std::uint64_t data_vm = 0;   ///< VM_WRITE & ~VM_SHARED & ~VM_STACK
    std::uint64_t exec_vm = 0;   ///< VM_EXEC & ~VM_WRITE & ~VM_STACK
    std::uint64_t stack_vm = 0;  ///< VM_STACK
    std::uint64_t hiwater_vm = 0;
    std::uint64_t locked_vm = 0;  ///< of VM_LOCKED VMAs
    std::uint64_t pinned_vm = 0;  ///< pages whose reference count is raised for good
    VirtAddr start_code{};        ///< of the program's text, as exec leaves it
    VirtAddr end_code{};

    PhysAddr rss_word(MmCounter counter) const {
        return rss_stat + 8 * static_cast<std::uint64_t>(counter);
    }
    /// The VMA that contains `address`, or nullptr (find_vma() and the check of its start).
    Vma* find_vma(VirtAddr address) const;
    /// The last VMA that starts before `address`, and may contain it, or nullptr.
    Vma* find_vma_before(VirtAddr address) const;
    /// The first VMA that ends behind `address` (find_vma()), or nullptr.
    Vma* find_vma_ending_after(VirtAddr address) const;
    /// The neighbours of a VMA, or nullptr.
    Vma* previous(const Vma& vma) const;
    Vma* next(const Vma& vma) const;
};

/// vm_stat_account(): `npages` more pages of a VMA with these flags. mmap_sem held.
void vm_stat_account(Mm& mm, std::uint64_t vm_flags, std::int64_t npages);

/// update_hiwater_vm(): called just before total_vm falls. mmap_sem held.
void update_hiwater_vm(Mm& mm);

// down_read(), down_write() and friends of mm->mmap_sem, with the event. Nobody takes it otherwise.

void mmap_sem_lock_read(Cpu& cpu, Mm& mm);
bool mmap_sem_trylock_read(Cpu& cpu, Mm& mm);
void mmap_sem_unlock_read(Cpu& cpu, Mm& mm);
void mmap_sem_lock_write(Cpu& cpu, Mm& mm);
void mmap_sem_unlock_write(Cpu& cpu, Mm& mm);
/// downgrade_write(): held for reading from then on.
void mmap_sem_downgrade_write(Cpu& cpu, Mm& mm);

}  // namespace mmusim::rmap
