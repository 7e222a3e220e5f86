// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

#include "rmap/ports/cpu.hpp"
#include "rmap/ports/frame_allocator.hpp"
#include "rmap/types/ept_entry.hpp"
#include "rmap/types/function_ref.hpp"

namespace mmusim::notifiers {

/// The extended page tables of one VM (arch/x86/kvm/mmu.c with TDP), in simulated memory, where
/// the hardware walker reads them. All tables are made at set-up, so the leaf of an address has one
/// place for good: a 4 KiB entry, or a 2 MiB entry where the set-up has decided so. At run time
/// only leaves change, by one locked instruction each, and the caller holds mmu_lock; the walker
/// sets accessed and dirty bits at any time. Time passes: Part::kSecondStage.
class SecondStageTable {
public:
    /// Place of a leaf, and what it maps.
    struct Leaf {
        rmap::PhysAddr entry{};
        rmap::GuestPhysAddr first{};
        std::uint64_t pages = 1;
    };
    using Visitor = rmap::FunctionRef<void(const Leaf&)>;

    /// Set-up: an empty root table.
    explicit SecondStageTable(rmap::FrameAllocator& frames)
        : frames_(frames), root_(frames.allocate_frame()) {}

    /// EPT pointer.
    rmap::PhysAddr root() const { return rmap::address_of(root_); }

    /// Set-up: the tables for 4 KiB entries of `pages` pages from `first` on.
    void add_tables(rmap::PhysMemPort& memory, rmap::GuestPhysAddr first, std::uint64_t pages);

    /// Set-up: maps frames in a row, writable, by 2 MiB where both addresses are aligned to it and
    /// no 4 KiB entries have been asked for.
    void map_fixed(rmap::PhysMemPort& memory, rmap::GuestPhysAddr first, rmap::FrameNumber frame,
                   std::uint64_t pages);

    /// The leaf of an address for which there are tables.
    Leaf leaf(rmap::GuestPhysAddr address) const;

    /// Calls for the leaf of each page of the range in ascending order, once per leaf: one that
    /// reaches beyond the range is visited as a whole. Costs KernelCosts::kvm_unmap_page each.
    void for_each_leaf(rmap::Cpu& cpu, rmap::GuestPhysAddr first, std::uint64_t pages,
                       Visitor visit) const;

    static rmap::EptEntry read(rmap::Cpu& cpu, const Leaf& leaf);
    /// Returns what the leaf held, with the bits that the walker has set by then. `generation` is
    /// that of the frame which a present entry maps.
    static rmap::Word exchange(rmap::Cpu& cpu, const Leaf& leaf, rmap::EptEntry entry,
                               rmap::Generation generation);
    static void clear_accessed(rmap::Cpu& cpu, const Leaf& leaf);

private:
    /// 2 MiB of guest-physical addresses.
    struct Block {
        rmap::PhysAddr entry{};  ///< of level 2
        bool large = false;
        rmap::FrameNumber table{};  ///< of level 1, unless large
    };

    static std::uint64_t block_of(rmap::GuestPhysAddr address) {
        return address.value / rmap::kLargeSize;
    }
    rmap::PhysAddr level2_entry(rmap::PhysMemPort& memory, rmap::GuestPhysAddr address);
    rmap::FrameNumber table_below(rmap::PhysMemPort& memory, rmap::PhysAddr entry);
    bool add_large_block(rmap::PhysMemPort& memory, rmap::GuestPhysAddr address);

    rmap::FrameAllocator& frames_;
    const rmap::FrameNumber root_;
    std::map<std::uint64_t, Block> blocks_;  ///< set-up
};

}  // namespace mmusim::notifiers
