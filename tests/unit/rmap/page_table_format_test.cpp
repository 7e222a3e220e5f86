// SPDX-License-Identifier: Apache-2.0
#include "rmap/types/page_table_format.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "rmap/types/ept_entry.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::test {

using rmap::FrameNumber;
using rmap::PageTableFormat;
using rmap::TableEntry;
using Use = PageTableFormat::Use;

namespace {

const PageTableFormat& format(const char* name) {
    const auto* found = rmap::find_page_table_format(name);
    REQUIRE(found);
    return *found;
}

/// "rwxu adgj" with a letter missing where the entry says no; "table rwxu g" or "none".
std::string text(const TableEntry& entry) {
    if (entry.kind == TableEntry::Kind::kNone) return "none";
    std::string out = entry.table() ? "table " : "";
    if (entry.readable) out += 'r';
    if (entry.writable) out += 'w';
    if (entry.executable) out += 'x';
    if (entry.user) out += 'u';
    out += ' ';
    if (!entry.table() && entry.accessed) out += 'a';
    if (entry.dirty) out += 'd';
    if (entry.global) out += 'g';
    if (entry.joined) out += 'j';
    return out;
}

/// A word as the manual has it, at a level, and what it says.
struct Row {
    const char* format;
    unsigned level;
    std::uint64_t raw;
    std::uint64_t frame;
    const char* says;
};

// Each word is written by hand from the tables of the manual that the format names.
const Row kRows[] = {
    // P 0, R/W 1, U/S 2, A 5, D 6, PS 7, G 8, XD 63
    {"x86-64-4level", 1, 0x0000000000000000, 0, "none"},
    {"x86-64-4level", 1, 0x0000000012345066, 0, "none"},
    {"x86-64-4level", 1, 0x8000000012345067, 0x12345, "rwu ad"},
    {"x86-64-4level", 1, 0x0000000012345005, 0x12345, "rxu "},
    {"x86-64-4level", 1, 0x0000000012345121, 0x12345, "rx ag"},
    {"x86-64-4level", 1, 0x00000000123450e7, 0x12345, "rwxu ad"},  // bit 7 is PAT here
    {"x86-64-4level", 2, 0x00000000403ff0e7, 0x40200, "rwxu ad"},  // 29:21, bit 12 is PAT
    {"x86-64-4level", 2, 0x0000000012345067, 0x12345, "table rwxu "},
    {"x86-64-4level", 2, 0x8000000012345025, 0x12345, "table ru "},
    {"x86-64-4level", 3, 0x00000000c00000e7, 0xc0000, "rwxu ad"},
    {"x86-64-4level", 4, 0x00000000c00000e7, 0, "none"},  // PS is reserved in a PML4E
    {"x86-64-5level", 5, 0x000ffffffffff067, 0xffffffffff, "table rwxu "},
    // R 0, W 1, X 2, memory type 5:3, large 7, A 8, D 9
    {"ept-4level", 1, 0x0000000000000030, 0, "none"},
    {"ept-4level", 1, 0x0000000045678031, 0x45678, "ru "},
    {"ept-4level", 1, 0x0000000045678337, 0x45678, "rwxu ad"},
    {"ept-4level", 1, 0x0000000045678032, 0, "none"},  // writable and not readable
    {"ept-4level", 1, 0x0000000045678034, 0x45678, "xu "},
    {"ept-4level", 2, 0x00000000402001b7, 0x40200, "rwxu a"},
    {"ept-4level", 2, 0x0000000045678007, 0x45678, "table rwxu "},
    {"ept-4level", 3, 0x0000000045678001, 0x45678, "table ru "},
    {"ept-4level", 4, 0x0000000045678087, 0, "none"},
    // type 1:0, AP[2:1] 7:6, SH 9:8, AF 10, nG 11, DBM 51, contiguous 52, PXN 53, UXN 54
    {"arm64-4k", 1, 0x00e8000080001f43, 0x80001, "rwu ad"},
    {"arm64-4k", 1, 0x00e8000080001fc3, 0x80001, "rwu a"},    // DBM and AP[2]: clean
    {"arm64-4k", 1, 0x0060000080001fc3, 0x80001, "ru a"},     // read-only
    {"arm64-4k", 1, 0x0020000080001bc3, 0x80001, "rxu "},     // AF clear
    {"arm64-4k", 1, 0x0020000080001783, 0x80001, "rx ag"},    // AP[1] and nG clear
    {"arm64-4k", 1, 0x0078000080013f43, 0x80010, "rwu adj"},  // contiguous: 16 pages
    {"arm64-4k", 1, 0x00e8000080001f41, 0, "none"},           // no block at level 3
    {"arm64-4k", 1, 0x00e8000080001f42, 0, "none"},           // bit 0 clear
    {"arm64-4k", 2, 0x00e8000080200f41, 0x80200, "rwu ad"},   // a block of 2 MiB
    {"arm64-4k", 2, 0x00f8000080200f41, 0x80000, "rwu adj"},  // of 32 MiB
    {"arm64-4k", 2, 0x0000000080001003, 0x80001, "table rwxu "},
    {"arm64-4k", 2, 0x4000000080001003, 0x80001, "table rxu "},  // APTable[1]
    {"arm64-4k", 2, 0x2000000080001003, 0x80001, "table rwx "},  // APTable[0]
    {"arm64-4k", 2, 0x1000000080001003, 0x80001, "table rwu "},  // UXNTable
    {"arm64-4k", 3, 0x00e8000080000f41, 0x80000, "rwu ad"},      // a block of 1 GiB
    {"arm64-4k", 4, 0x00e8000080000f41, 0, "none"},
    {"arm64-16k", 1, 0x00e8000080004f43, 0x80004, "rwu ad"},
    {"arm64-16k", 1, 0x00f8000080204f43, 0x80200, "rwu adj"},  // 128 pages of 16 KiB
    {"arm64-16k", 2, 0x00e8000082000f41, 0x82000, "rwu ad"},   // a block of 32 MiB
    {"arm64-16k", 2, 0x00f8000082000f41, 0x80000, "rwu adj"},  // of 1 GiB
    {"arm64-16k", 3, 0x00e8000080000f41, 0, "none"},
    {"arm64-64k", 1, 0x00e8000080010f43, 0x80010, "rwu ad"},
    {"arm64-64k", 1, 0x00f8000080210f43, 0x80200, "rwu adj"},  // 32 pages of 64 KiB
    {"arm64-64k", 2, 0x00e80000a0000f41, 0xa0000, "rwu ad"},   // a block of 512 MiB
    {"arm64-64k", 3, 0x00000000a0010003, 0xa0010, "table rwxu "},
    // S2AP 7:6 (write, read), XN 54
    {"arm64-4k-stage2", 1, 0x00000000900017ff, 0x90001, "rwxu ad"},
    {"arm64-4k-stage2", 1, 0x000800009000177f, 0x90001, "rwxu a"},  // DBM: clean
    {"arm64-4k-stage2", 1, 0x004000009000177f, 0x90001, "ru a"},
    {"arm64-4k-stage2", 1, 0x000000009000173f, 0x90001, "xu a"},
    {"arm64-4k-stage2", 1, 0x00000000900013ff, 0x90001, "rwxu d"},
    {"arm64-4k-stage2", 2, 0x00100000902007fd, 0x90000, "rwxu adj"},
    {"arm64-4k-stage2", 4, 0x0000000090001003, 0x90001, "table rwxu "},
    {"arm64-16k-stage2", 3, 0x0000000090004003, 0x90004, "table rwxu "},
    {"arm64-64k-stage2", 2, 0x00000000a00007fd, 0xa0000, "rwxu ad"},
    // V 0, R 1, W 2, X 3, U 4, G 5, A 6, D 7, PPN 53:10, N 63
    {"sv39", 1, 0x000000002000049e, 0, "none"},  // V clear
    {"sv39", 1, 0x00000000200004d7, 0x80001, "rwu ad"},
    {"sv39", 1, 0x000000002000045b, 0x80001, "rxu a"},
    {"sv39", 1, 0x0000000020000459, 0x80001, "xu a"},
    {"sv39", 1, 0x00000000200004e3, 0x80001, "r adg"},
    {"sv39", 1, 0x00000000200004d5, 0, "none"},           // writable and not readable
    {"sv39", 1, 0x0000000020000401, 0, "none"},           // a table below the last level
    {"sv39", 1, 0x80000000200060d7, 0x80010, "rwu adj"},  // Svnapot: 64 KiB
    {"sv39", 1, 0x80000000200050d7, 0, "none"},           // of a size that there is not
    {"sv39", 2, 0x00000000200800d7, 0x80200, "rwu ad"},
    {"sv39", 2, 0x00000000200004d7, 0, "none"},  // a misaligned superpage
    {"sv39", 2, 0x0000000020000401, 0x80001, "table rwxu "},
    {"sv39", 2, 0x0000000020000421, 0x80001, "table rwxu g"},
    {"sv39", 3, 0x00000000200000d7, 0x80000, "rwu ad"},
    {"sv48", 4, 0x00000000200000d7, 0, "none"},  // misaligned by 512 GiB
    {"sv48", 4, 0x00000020000000d7, 0x8000000, "rwu ad"},
    {"sv39x4", 1, 0x00000000200004ff, 0x80001, "rwxu ad"},  // G means nothing here
    {"sv48x4", 4, 0x0000000020000401, 0x80001, "table rwxu "},
};

}  // namespace

TEST_CASE("page table format: words of the manuals are read as the manuals say", "[unit][format]") {
    for (const Row& row : kRows) {
        CAPTURE(row.format, row.level, row.raw);
        const TableEntry entry = format(row.format).decode(row.raw, row.level);
        CHECK(text(entry) == row.says);
        CHECK(entry.frame == FrameNumber{row.frame});
    }
}

TEST_CASE("page table format: what is written is what is read", "[unit][format]") {
    for (const auto* each : rmap::page_table_formats()) {
        CAPTURE(each->name);
        const TableEntry table = each->decode(each->encode_table(FrameNumber{0x40000}), 2);
        CHECK(text(table) == "table rwxu ");
        CHECK(table.frame == FrameNumber{0x40000});
        for (unsigned level = 1; level <= each->levels; ++level) {
            if (!each->level(level).leaves) continue;
            const bool second = each->stage == PageTableFormat::Stage::kSecond;
            for (unsigned flags = 0; flags < 256; ++flags) {
                TableEntry leaf;
                leaf.kind = TableEntry::Kind::kLeaf;
                leaf.joined = flags & 1 && each->level(level).joined > 0;
                leaf.frame = {std::uint64_t{3} << each->page_order(level, true)};
                leaf.readable = true;
                leaf.writable = flags & 2;
                leaf.executable = flags & 4;
                leaf.accessed = flags & 8;
                leaf.dirty = leaf.writable && flags & 16;
                leaf.user = second || flags & 32;
                leaf.global = !second && flags & 64;
                const auto raw = each->encode_leaf(leaf, level);
                const TableEntry read = each->decode(raw, level);
                CAPTURE(level, flags, raw);
                CHECK(text(read) == text(leaf));
                CHECK(read.frame == leaf.frame);

                const TableEntry used = each->decode(each->mark(raw, Use::kAccessed), level);
                leaf.accessed = true;
                CHECK(text(used) == text(leaf));
                if (!leaf.writable) continue;
                const auto written = each->mark(raw, Use::kAccessedAndDirty);
                leaf.dirty = true;
                CHECK(text(each->decode(written, level)) == text(leaf));
            }
        }
    }
}

TEST_CASE("page table format: the kernel's own entry types are two of the formats",
          "[unit][format]") {
    using rmap::EptEntry;
    using rmap::Pte;
    const auto& pte = rmap::x86_64_4level();
    const auto& ept = rmap::ept_4level();
    for (unsigned flags = 0; flags < 32; ++flags) {
        TableEntry leaf;
        leaf.kind = TableEntry::Kind::kLeaf;
        leaf.frame = FrameNumber{0x12345};
        leaf.readable = leaf.user = leaf.executable = true;
        leaf.writable = flags & 1;
        leaf.accessed = flags & 2;
        leaf.dirty = flags & 4;
        leaf.global = flags & 8;
        leaf.executable = flags & 16;
        const auto own = Pte::present_entry(
            leaf.frame, (leaf.writable ? Pte::kWritable : 0) |
                            (leaf.accessed ? Pte::kAccessed : 0) | (leaf.dirty ? Pte::kDirty : 0) |
                            (leaf.executable ? 0 : Pte::kNoExecute));
        const auto global =
            leaf.global ? Pte::kGlobal : 0;  // present_entry() reads it as kProtNone
        CHECK(pte.encode_leaf(leaf, 1) == (own.raw() | global));

        const auto kvm = EptEntry::leaf(leaf.frame, leaf.writable)
                             .with((leaf.accessed ? EptEntry::kAccessed : 0) |
                                   (leaf.dirty ? EptEntry::kDirty : 0));
        leaf.executable = true;
        CHECK(ept.encode_leaf(leaf, 1) == kvm.raw());
    }
    CHECK(pte.encode_table(FrameNumber{7}) ==
          Pte::present_entry(FrameNumber{7}, Pte::kWritable).raw());
    CHECK(ept.encode_table(FrameNumber{7}) == EptEntry::table(FrameNumber{7}).raw());
    for (const std::uint64_t address : {0x7fff12345678ull, 0x100000000000ull, 0x1ff000ull})
        for (unsigned level = 1; level <= rmap::kPageTableLevels; ++level) {
            CHECK(pte.entry(FrameNumber{9}, address, level) ==
                  rmap::entry_address(FrameNumber{9}, rmap::VirtAddr{address}, level));
            CHECK(ept.entry(FrameNumber{9}, address, level) ==
                  rmap::entry_address(FrameNumber{9}, rmap::GuestPhysAddr{address}, level));
        }
}

TEST_CASE("page table format: addresses are translated up to the format's width",
          "[unit][format]") {
    const auto both = [](const char* name, std::uint64_t last, std::uint64_t upper) {
        CAPTURE(name);
        CHECK(format(name).translates(last));
        CHECK_FALSE(format(name).translates(last + 1));
        if (upper == 0) {
            CHECK_FALSE(format(name).translates(~std::uint64_t{0}));
            return;
        }
        CHECK(format(name).translates(upper));
        CHECK_FALSE(format(name).translates(upper - 1));
        CHECK(format(name).translates(~std::uint64_t{0}));
    };
    both("x86-64-4level", 0x00007fffffffffff, 0xffff800000000000);
    both("x86-64-5level", 0x00ffffffffffffff, 0xff00000000000000);
    both("sv39", 0x0000003fffffffff, 0xffffffc000000000);
    both("sv48", 0x00007fffffffffff, 0xffff800000000000);
    for (const char* name : {"arm64-4k", "arm64-16k", "arm64-64k", "ept-4level", "arm64-4k-stage2",
                             "arm64-16k-stage2", "arm64-64k-stage2"})
        both(name, 0x0000ffffffffffff, 0);
    both("sv39x4", 0x000001ffffffffff, 0);
    both("sv48x4", 0x0003ffffffffffff, 0);
}

TEST_CASE("page table format: tables and pages have the sizes of their architecture",
          "[unit][format]") {
    using Orders = std::vector<unsigned>;
    CHECK(format("x86-64-4level").page_orders() == Orders{0, 9, 18});
    CHECK(format("arm64-4k").page_orders() == Orders{0, 4, 9, 13, 18, 22});
    CHECK(format("arm64-16k").page_orders() == Orders{2, 9, 13, 18});
    CHECK(format("arm64-64k").page_orders() == Orders{4, 9, 17, 22});
    CHECK(format("sv39").page_orders() == Orders{0, 4, 9, 18});
    CHECK(format("sv48").page_orders() == Orders{0, 4, 9, 18, 27});
    const auto root_order = [](const char* name) {
        return format(name).table_order(format(name).levels);
    };
    CHECK(root_order("x86-64-5level") == 0);
    CHECK(root_order("arm64-16k") == 2);         // two entries in a granule
    CHECK(root_order("arm64-64k") == 4);         // 64 entries in a granule
    CHECK(root_order("arm64-16k-stage2") == 3);  // two tables in a row
    CHECK(root_order("sv39x4") == 2);            // four
    CHECK(root_order("sv48x4") == 2);
    CHECK(rmap::find_page_table_format("sv57") == nullptr);
}

}  // namespace mmusim::test
