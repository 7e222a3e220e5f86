// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>

#include "rmap/ports/cpu.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::rmap {

struct AddressSpace;
struct AnonVma;
struct Mm;

/// Bits of vm_flags, with the kernel's values.
struct VmFlags {
    static constexpr std::uint64_t kRead = 0x1;
    static constexpr std::uint64_t kWrite = 0x2;
    static constexpr std::uint64_t kExec = 0x4;
    static constexpr std::uint64_t kShared = 0x8;
    static constexpr std::uint64_t kMayRead = 0x10;
    static constexpr std::uint64_t kMayWrite = 0x20;
    static constexpr std::uint64_t kMayExec = 0x40;
    static constexpr std::uint64_t kMayShare = 0x80;
    static constexpr std::uint64_t kGrowsDown = 0x100;
    static constexpr std::uint64_t kLocked = 0x2000;
    static constexpr std::uint64_t kSeqRead = 0x8000;
    static constexpr std::uint64_t kRandRead = 0x10000;
    static constexpr std::uint64_t kLockOnFault = 0x80000;
    static constexpr std::uint64_t kAccount = 0x100000;

    /// What mprotect() changes.
    static constexpr std::uint64_t kAccessFlags = kRead | kWrite | kExec;
};

/// vm_get_page_prot() as PTE bits: x86 sets the accessed bit in all of them. Writing needs more
/// (maybe_mkwrite), because private pages are shared until written and shared file pages are
/// write-protected to learn when they become dirty.
constexpr std::uint64_t vm_get_page_prot(std::uint64_t vm_flags) {
    if (!(vm_flags & VmFlags::kAccessFlags)) return Pte::kProtNone | Pte::kAccessed;
    return Pte::kAccessed | (vm_flags & VmFlags::kExec ? 0 : Pte::kNoExecute);
}

/// struct vm_area_struct. The range changes only with mmap_sem held for writing and, because the
/// reverse map reads it, with the locks of the trees that hold the VMA held for writing as well.
struct Vma {
    VirtAddr vm_start{};
    VirtAddr vm_end{};
    std::uint64_t vm_pgoff = 0;
    /// As whoever holds mmap_sem sees them. They change through set_vm_flags() only.
    std::uint64_t vm_flags = 0;
    Mm* vm_mm = nullptr;
    AddressSpace* vm_file = nullptr;  ///< nullptr: vma_is_anonymous()

    /// Word: vma->anon_vma, the address of its line or 0. Two faults may race to set it under
    /// mmap_sem held for reading, so it is not plain.
    PhysAddr anon_vma{};
    /// Word: the flags for whoever walks the reverse map, and holds other locks than mmap_sem.
    PhysAddr vm_flags_word() const { return anon_vma + 8; }
    /// Word, for mm/swap_readahead.
    PhysAddr swap_readahead_info() const { return anon_vma + 16; }
    /// The AVCs of this VMA, newest first: an AVC is the pair of the VMA and one of these, and the
    /// VMA's membership in that one's tree. mmap_sem for writing, or for reading with the
    /// page_table_lock.
    std::deque<AnonVma*> anon_vma_chain;

    VirtRange range() const { return {vm_start, vm_end}; }
    bool has(std::uint64_t flags) const { return (vm_flags & flags) == flags; }
    bool is_anonymous() const { return !vm_file; }
    /// is_cow_mapping(): private and may become writable.
    bool is_cow_mapping() const { return !has(VmFlags::kShared) && has(VmFlags::kMayWrite); }

    /// Key range in i_mmap and in the anon_vma trees.
    std::uint64_t first_pgoff() const { return vm_pgoff; }
    std::uint64_t last_pgoff() const { return vm_pgoff + range().pages() - 1; }
    /// linear_page_index()
    std::uint64_t page_index(VirtAddr address) const {
        return vm_pgoff + ((address - vm_start) >> kPageShift);
    }
    /// vma_address() of a page with this index.
    VirtAddr address_of_index(std::uint64_t index) const {
        return vm_start + ((index - vm_pgoff) << kPageShift);
    }

    /// vma->vm_page_prot: vm_get_page_prot(), and writable in shared mappings that need not learn
    /// of writes.
    std::uint64_t page_prot() const { return page_prot(vm_flags); }
    /// As it is with these flags.
    std::uint64_t page_prot(std::uint64_t flags) const;
    /// vma_wants_writenotify(): a shared mapping of a file learns of the first write to each page.
    /// Of shmem nobody needs to learn that.
    bool wants_writenotify() const { return wants_writenotify(vm_flags); }
    bool wants_writenotify(std::uint64_t flags) const;
};

/// Changes the flags; mmap_sem held for writing. v5.0 stores them without any other lock, so a walk
/// of the reverse map may see them change between two looks.
void set_vm_flags(Cpu& cpu, Vma& vma, std::uint64_t vm_flags);

/// vma->vm_flags as the reverse map sees them: under a lock of one of the VMA's trees, without
/// mmap_sem.
std::uint64_t read_vm_flags(Cpu& cpu, const Vma& vma);

}  // namespace mmusim::rmap
