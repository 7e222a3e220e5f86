// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/address.hpp"

namespace mmusim::rmap {

/// A page-table entry in x86-64 format (Intel SDM vol. 3, table 4-20), with Linux v5.0's layout of
/// entries without P: swap-type ones (arch/x86/include/asm/pgtable_64.h: type in the top five bits,
/// inverted offset from bit 9), and PROT_NONE ones (pgtable_types.h, pgtable-invert.h: bit 8 and an
/// inverted frame, so that a CPU that ignores P while speculating finds no memory there).
class Pte {
public:
    static constexpr std::uint64_t kPresent = 1ull << 0;
    static constexpr std::uint64_t kWritable = 1ull << 1;
    static constexpr std::uint64_t kUser = 1ull << 2;
    static constexpr std::uint64_t kAccessed = 1ull << 5;
    static constexpr std::uint64_t kDirty = 1ull << 6;
    static constexpr std::uint64_t kPageSize = 1ull << 7;  ///< in a PMD: maps 2 MiB
    static constexpr std::uint64_t kGlobal = 1ull << 8;
    static constexpr std::uint64_t kProtNone = kGlobal;   ///< _PAGE_PROTNONE, where P is clear
    static constexpr std::uint64_t kSpecial = 1ull << 9;  ///< _PAGE_SPECIAL: software's, no page
    static constexpr std::uint64_t kNoExecute = 1ull << 63;
    static constexpr std::uint64_t kFrameMask = 0x000ffffffffff000ull;

    /// Swap types of v5.0 with CONFIG_MIGRATION (include/linux/swap.h: MAX_SWAPFILES and above).
    static constexpr unsigned kMigrationRead = 30;
    static constexpr unsigned kMigrationWrite = 31;

    constexpr Pte() = default;
    constexpr explicit Pte(std::uint64_t raw) : raw_(raw) {}
    /// mk_pte(): a user page with the protection `flags`. kProtNone among them: nobody may use it.
    static constexpr Pte present_entry(FrameNumber frame, std::uint64_t flags) {
        if (flags & kProtNone) return Pte{(~address_of(frame).value & kFrameMask) | flags};
        return Pte{address_of(frame).value | kPresent | kUser | flags};
    }
    static constexpr Pte swap_entry(unsigned type, std::uint64_t offset) {
        return Pte{(std::uint64_t{type} << kTypeShift) | (~offset << kOffsetShift & kOffsetField)};
    }
    static constexpr Pte migration_entry(FrameNumber frame, bool writable) {
        return swap_entry(writable ? kMigrationWrite : kMigrationRead, frame.value);
    }

    constexpr std::uint64_t raw() const { return raw_; }
    constexpr bool none() const { return raw_ == 0; }
    /// P: what hardware looks at.
    constexpr bool valid() const { return raw_ & kPresent; }
    /// pte_present(): maps a page as the mm code sees it, also one that nobody may use.
    constexpr bool present() const { return raw_ & (kPresent | kProtNone); }
    /// pte_protnone()
    constexpr bool prot_none() const { return present() && !valid(); }
    constexpr bool writable() const { return raw_ & kWritable; }
    constexpr bool executable() const { return !(raw_ & kNoExecute); }
    constexpr bool young() const { return raw_ & kAccessed; }
    constexpr bool dirty() const { return raw_ & kDirty; }
    constexpr bool huge() const { return raw_ & kPageSize; }
    constexpr bool global() const { return raw_ & kGlobal; }
    /// pte_special(): what is mapped has no struct page.
    constexpr bool special() const { return raw_ & kSpecial; }
    /// pte_pfn()
    constexpr FrameNumber frame() const {
        return frame_of(PhysAddr{(prot_none() ? ~raw_ : raw_) & kFrameMask});
    }
    constexpr Pte with(std::uint64_t flags) const { return Pte{raw_ | flags}; }
    constexpr Pte without(std::uint64_t flags) const { return Pte{raw_ & ~flags}; }

    /// pte_modify() of a present entry: frame, accessed, dirty and special bits stay.
    constexpr Pte modified(std::uint64_t prot) const {
        constexpr std::uint64_t kStay = kAccessed | kDirty | kSpecial;
        return present_entry(frame(), prot & ~kStay).with(raw_ & kStay);
    }

    /// Not none and not present: swap, migration or another special entry.
    constexpr bool swap_type() const { return !none() && !present(); }
    constexpr unsigned type() const { return static_cast<unsigned>(raw_ >> kTypeShift); }
    constexpr std::uint64_t offset() const { return (~raw_ & kOffsetField) >> kOffsetShift; }
    constexpr bool migration() const { return swap_type() && type() >= kMigrationRead; }
    constexpr bool migration_writable() const { return migration() && type() == kMigrationWrite; }
    constexpr FrameNumber migration_frame() const { return {offset()}; }

    friend constexpr bool operator==(Pte a, Pte b) { return a.raw_ == b.raw_; }
    friend constexpr bool operator!=(Pte a, Pte b) { return a.raw_ != b.raw_; }

private:
    static constexpr unsigned kTypeShift = 59;
    static constexpr unsigned kOffsetShift = 9;
    static constexpr std::uint64_t kOffsetField = (1ull << kTypeShift) - (1ull << kOffsetShift);

    std::uint64_t raw_ = 0;
};

inline constexpr unsigned kPageTableLevels = 4;  ///< PML4, PDPT, PD, PT

/// Index into the table of `level` (4 = PML4 ... 1 = PT).
constexpr unsigned table_index(VirtAddr address, unsigned level) {
    return static_cast<unsigned>(address.value >> (kPageShift + 9 * (level - 1)) & 511);
}
constexpr PhysAddr entry_address(FrameNumber table, VirtAddr address, unsigned level) {
    return address_of(table) + 8 * table_index(address, level);
}

}  // namespace mmusim::rmap
