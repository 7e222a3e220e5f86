// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "rmap/types/address.hpp"

namespace mmusim::rmap {

/// What one page-table entry says to the hardware.
struct TableEntry {
    enum class Kind : unsigned char {
        kNone,   ///< nothing is mapped, or the encoding is reserved
        kTable,  ///< the table of the level below
        kLeaf,   ///< a page: of a higher level a block or superpage
    };
    Kind kind = Kind::kNone;
    FrameNumber frame{};  ///< first frame of the table or page; of joined entries that of them all
    // Of a leaf, what may be done with the page; of a table, what is allowed below it at most.
    bool readable = false;
    bool writable = false;  ///< stores are allowed, if need be after the page was made dirty
    bool executable = false;
    bool user = false;  ///< for user mode; whatever has no such bit is for everybody
    // Of a leaf; `global` also of a table, if that holds for what is below it.
    bool accessed = false;
    bool dirty = false;  ///< stores change nothing in the entry
    bool global = false;
    bool joined = false;  ///< with its neighbours it is one larger page (contiguous, Svnapot)

    bool leaf() const { return kind == Kind::kLeaf; }
    bool table() const { return kind == Kind::kTable; }
};

/// One level of a format, counted from the smallest pages: 1 is x86's page table, arm64's level 3,
/// RISC-V's level 0.
struct PageTableLevel {
    std::uint8_t shift = 0;       ///< an entry is for 2^shift bytes of input addresses
    std::uint8_t index_bits = 0;  ///< a table has 2^index_bits entries of 8 bytes
    bool leaves = false;          ///< an entry may be a leaf
    std::uint8_t joined = 0;      ///< 2^joined neighbours can be one page; 0: none
};

/// A page-table format: everything that a walker, or software that builds tables, has to know of
/// it. The input address is virtual in a first stage and guest-physical in a second one. Frames are
/// counted in 4 KiB whatever the format's smallest page is.
class PageTableFormat {
public:
    enum class Architecture : unsigned char { kX86, kArm64, kRiscv };
    enum class Stage : unsigned char { kFirst, kSecond };
    /// Which input addresses have a translation at all.
    enum class Inputs : unsigned char { kSignExtended, kZeroExtended };
    static constexpr unsigned kMaxLevels = 5;

    /// How one architecture encodes entries.
    struct Encoding {
        Architecture architecture;
        TableEntry (*decode)(const PageTableFormat&, std::uint64_t raw, unsigned level);
        std::uint64_t (*table)(FrameNumber frame);
        /// Of `leaf`, whose frame is that of this entry alone.
        std::uint64_t (*leaf)(const PageTableFormat&, const TableEntry& leaf, unsigned level);
        // What hardware sets and clears in a leaf that is used, and that is written.
        std::uint64_t accessed_set;
        std::uint64_t dirty_set;
        std::uint64_t dirty_clear;
        /// Whether hardware heeds these bits at all is a mode (bit 6 of the EPT pointer). If it
        /// does, every access of a walk to a guest's tables counts as a store (28.3.5).
        bool bits_are_a_mode = false;
    };

    constexpr PageTableFormat(std::string_view format_name, std::string_view manual, Stage of,
                              Inputs which, unsigned count,
                              const std::array<PageTableLevel, kMaxLevels>& from_below,
                              const Encoding& how)
        : name(format_name),
          source(manual),
          stage(of),
          inputs(which),
          levels(count),
          levels_(from_below),
          encoding_(how) {}

    std::string_view name;    ///< in platform files
    std::string_view source;  ///< manual and section
    Stage stage;
    Inputs inputs;
    unsigned levels;  ///< the root table's level

    const PageTableLevel& level(unsigned n) const { return levels_[n - 1]; }
    unsigned input_bits() const { return level(levels).shift + level(levels).index_bits; }
    /// Whether the format has a translation for the address: the bits above are as they have to be.
    bool translates(std::uint64_t address) const;

    /// Where the entry of `level` is, given its table.
    PhysAddr entry(FrameNumber table, std::uint64_t address, unsigned n) const {
        const std::uint64_t mask = (std::uint64_t{1} << level(n).index_bits) - 1;
        return address_of(table) + 8 * (address >> level(n).shift & mask);
    }
    /// A table of the level takes 2^order frames and is aligned to them.
    unsigned table_order(unsigned n) const;
    /// A leaf of the level maps 2^order frames.
    unsigned page_order(unsigned n, bool joined) const {
        return level(n).shift - kPageShift + (joined ? level(n).joined : 0);
    }
    /// All sizes of pages, ascending.
    std::vector<unsigned> page_orders() const;

    TableEntry decode(std::uint64_t raw, unsigned n) const {
        return encoding_.decode(*this, raw, n);
    }
    std::uint64_t encode_table(FrameNumber frame) const { return encoding_.table(frame); }
    /// The entry for the page's part that begins at `leaf.frame`; `joined` as the leaf says.
    std::uint64_t encode_leaf(const TableEntry& leaf, unsigned n) const {
        return encoding_.leaf(*this, leaf, n);
    }

    Architecture architecture() const { return encoding_.architecture; }
    bool bits_are_a_mode() const { return encoding_.bits_are_a_mode; }

    /// A leaf as hardware leaves it behind after an access.
    enum class Use : unsigned char { kAccessed, kAccessedAndDirty };
    std::uint64_t mark(std::uint64_t raw, Use use) const {
        raw |= encoding_.accessed_set;
        if (use == Use::kAccessed) return raw;
        return (raw | encoding_.dirty_set) & ~encoding_.dirty_clear;
    }

private:
    std::array<PageTableLevel, kMaxLevels> levels_;
    Encoding encoding_;
};

/// All that there are, in the order in which they are listed to users.
const std::vector<const PageTableFormat*>& page_table_formats();
/// nullptr if there is none of that name.
const PageTableFormat* find_page_table_format(std::string_view name);
/// The second stage that goes with a first one, if nobody says otherwise.
const PageTableFormat& usual_second_stage(const PageTableFormat& first);
/// The kernel engine's own: types Pte and EptEntry.
const PageTableFormat& x86_64_4level();
const PageTableFormat& ept_4level();

}  // namespace mmusim::rmap
