// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>

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
    static constexpr std::uint64_t kMayWrite = 0x20;
    static constexpr std::uint64_t kGrowsDown = 0x100;
    static constexpr std::uint64_t kSeqRead = 0x8000;
    static constexpr std::uint64_t kRandRead = 0x10000;
};

/// struct vm_area_struct. The range changes only with mmap_sem held for writing and, because the
/// reverse map reads it, with the locks of the trees that hold the VMA held for writing as well.
struct Vma {
    VirtAddr vm_start{};
    VirtAddr vm_end{};
    std::uint64_t vm_pgoff = 0;
    std::uint64_t vm_flags = 0;
    Mm* vm_mm = nullptr;
    AddressSpace* vm_file = nullptr;  ///< nullptr: vma_is_anonymous()

    /// Word: vma->anon_vma, the address of its line or 0. Two faults may race to set it under
    /// mmap_sem held for reading, so it is not plain.
    PhysAddr anon_vma{};
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

    /// vma->vm_page_prot as PTE bits: x86 sets the accessed bit in all of them. Writing needs more
    /// (maybe_mkwrite), because private pages are shared until written and shared file pages are
    /// write-protected to learn when they become dirty.
    std::uint64_t page_prot() const {
        return Pte::kAccessed | (has(VmFlags::kExec) ? 0 : Pte::kNoExecute);
    }
};

}  // namespace mmusim::rmap
