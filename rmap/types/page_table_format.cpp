// SPDX-License-Identifier: Apache-2.0
#include "rmap/types/page_table_format.hpp"

#include <algorithm>
#include <utility>

namespace mmusim::rmap {

namespace {

using Format = PageTableFormat;
using Kind = TableEntry::Kind;
using Levels = std::array<PageTableLevel, Format::kMaxLevels>;

constexpr std::uint64_t bit(unsigned n) { return std::uint64_t{1} << n; }
/// Bits last..first, both included.
constexpr std::uint64_t bits(unsigned last, unsigned first) {
    return (~std::uint64_t{0} >> (63 - last)) & ~(bit(first) - 1);
}

TableEntry of_kind(Kind kind) {
    TableEntry entry;
    entry.kind = kind;
    entry.readable = entry.writable = entry.executable = entry.user = true;
    return entry;
}

/// The address field without what is below the page.
FrameNumber leaf_frame(const Format& format, std::uint64_t address, unsigned level, bool joined) {
    const unsigned shift = kPageShift + format.page_order(level, joined);
    return frame_of(PhysAddr{address & ~(bit(shift) - 1)});
}

/// Intel SDM vol. 3, tables 4-15 to 4-20.
namespace x86 {

constexpr std::uint64_t kPresent = bit(0), kWrite = bit(1), kUser = bit(2), kAccessed = bit(5),
                        kDirty = bit(6), kPageSize = bit(7), kGlobal = bit(8),
                        kAddress = bits(51, 12), kNoExecute = bit(63);

TableEntry decode(const Format& format, std::uint64_t raw, unsigned level) {
    if (!(raw & kPresent)) return {};
    const bool large = level > 1 && raw & kPageSize;
    if (large && !format.level(level).leaves) return {};  // a reserved bit
    TableEntry entry = of_kind(level == 1 || large ? Kind::kLeaf : Kind::kTable);
    entry.writable = raw & kWrite;
    entry.executable = !(raw & kNoExecute);
    entry.user = raw & kUser;
    entry.accessed = raw & kAccessed;
    entry.frame = frame_of(PhysAddr{raw & kAddress});
    if (!entry.leaf()) return entry;
    entry.frame = leaf_frame(format, raw & kAddress, level, false);
    entry.dirty = raw & kDirty;
    entry.global = raw & kGlobal;
    return entry;
}

std::uint64_t table(FrameNumber frame) {
    return address_of(frame).value | kPresent | kWrite | kUser;
}

std::uint64_t leaf(const Format&, const TableEntry& leaf, unsigned level) {
    return address_of(leaf.frame).value | kPresent | (leaf.writable ? kWrite : 0) |
           (leaf.user ? kUser : 0) | (leaf.accessed ? kAccessed : 0) | (leaf.dirty ? kDirty : 0) |
           (level > 1 ? kPageSize : 0) | (leaf.global ? kGlobal : 0) |
           (leaf.executable ? 0 : kNoExecute);
}

constexpr Format::Encoding kEncoding{
    Format::Architecture::kX86, decode, table, leaf, kAccessed, kDirty, 0};

}  // namespace x86

/// Intel SDM vol. 3, tables 28-1 to 28-6.
namespace ept {

constexpr std::uint64_t kRead = bit(0), kWrite = bit(1), kExecute = bit(2), kWriteBack = 6u << 3,
                        kLarge = bit(7), kAccessed = bit(8), kDirty = bit(9),
                        kAddress = bits(51, 12);

TableEntry decode(const Format& format, std::uint64_t raw, unsigned level) {
    if (!(raw & (kRead | kWrite | kExecute))) return {};
    if (raw & kWrite && !(raw & kRead)) return {};  // a misconfiguration (28.3.3.1)
    const bool large = level > 1 && raw & kLarge;
    if (large && !format.level(level).leaves) return {};
    TableEntry entry = of_kind(level == 1 || large ? Kind::kLeaf : Kind::kTable);
    entry.readable = raw & kRead;
    entry.writable = raw & kWrite;
    entry.executable = raw & kExecute;
    entry.accessed = raw & kAccessed;
    entry.frame = frame_of(PhysAddr{raw & kAddress});
    if (!entry.leaf()) return entry;
    entry.frame = leaf_frame(format, raw & kAddress, level, false);
    entry.dirty = raw & kDirty;
    return entry;
}

std::uint64_t table(FrameNumber frame) {
    return address_of(frame).value | kRead | kWrite | kExecute;
}

std::uint64_t leaf(const Format&, const TableEntry& leaf, unsigned level) {
    return address_of(leaf.frame).value | (leaf.readable ? kRead : 0) |
           (leaf.writable ? kWrite : 0) | (leaf.executable ? kExecute : 0) | kWriteBack |
           (level > 1 ? kLarge : 0) | (leaf.accessed ? kAccessed : 0) | (leaf.dirty ? kDirty : 0);
}

constexpr Format::Encoding kEncoding{
    Format::Architecture::kX86, decode, table, leaf, kAccessed, kDirty, 0, true};

}  // namespace ept

/// Arm ARM (DDI 0487), D8.3: VMSAv8-64 descriptors, without LPA2.
namespace arm64 {

constexpr std::uint64_t kValid = bit(0), kTableOrPage = bit(1), kInnerShareable = 3u << 8,
                        kAccessFlag = bit(10), kDirtyModifier = bit(51), kContiguous = bit(52),
                        kUserNoExecute = bit(54), kAddress = bits(47, 12);
// Of a first stage (D8.4.1): AP[1], AP[2], and the limits of table descriptors.
constexpr std::uint64_t kUser = bit(6), kReadOnly = bit(7), kNotGlobal = bit(11),
                        kPrivilegedNoExecute = bit(53), kUserNoExecuteTable = bit(60),
                        kNoUserTable = bit(61), kReadOnlyTable = bit(62);
// Of a second stage (D8.4.2): S2AP; bit 54 is XN, or the part of XN that is about EL0.
constexpr std::uint64_t kRead = bit(6), kWrite = bit(7), kNormalMemory = 0xfu << 2;

/// What both stages have in common; permissions are still to be told.
TableEntry decode_any(const Format& format, std::uint64_t raw, unsigned level) {
    if (!(raw & kValid)) return {};
    const bool table_or_page = raw & kTableOrPage;
    if (!table_or_page && (level == 1 || !format.level(level).leaves)) return {};
    TableEntry entry = of_kind(table_or_page && level > 1 ? Kind::kTable : Kind::kLeaf);
    entry.joined = entry.leaf() && raw & kContiguous && format.level(level).joined > 0;
    entry.frame = entry.leaf() ? leaf_frame(format, raw & kAddress, level, entry.joined)
                               : leaf_frame(format, raw & kAddress, 1, false);
    entry.accessed = raw & kAccessFlag;
    return entry;
}

TableEntry decode(const Format& format, std::uint64_t raw, unsigned level) {
    TableEntry entry = decode_any(format, raw, level);
    if (entry.table()) {
        entry.user = !(raw & kNoUserTable);
        entry.writable = !(raw & kReadOnlyTable);
        entry.executable = !(raw & kUserNoExecuteTable);
    } else if (entry.leaf()) {
        entry.user = raw & kUser;
        entry.dirty = !(raw & kReadOnly);
        entry.writable = entry.dirty || raw & kDirtyModifier;
        entry.executable = !(raw & kUserNoExecute);
        entry.global = !(raw & kNotGlobal);
    }
    return entry;
}

TableEntry decode_stage2(const Format& format, std::uint64_t raw, unsigned level) {
    TableEntry entry = decode_any(format, raw, level);
    if (!entry.leaf()) return entry;
    entry.readable = raw & kRead;
    entry.dirty = raw & kWrite;
    entry.writable = entry.dirty || raw & kDirtyModifier;
    entry.executable = !(raw & kUserNoExecute);
    return entry;
}

std::uint64_t table(FrameNumber frame) { return address_of(frame).value | kValid | kTableOrPage; }

std::uint64_t leaf_any(const TableEntry& leaf, unsigned level) {
    return address_of(leaf.frame).value | kValid | (level == 1 ? kTableOrPage : 0) |
           kInnerShareable | (leaf.accessed ? kAccessFlag : 0) |
           (leaf.writable ? kDirtyModifier : 0) | (leaf.joined ? kContiguous : 0) |
           (leaf.executable ? 0 : kUserNoExecute);
}

std::uint64_t leaf(const Format&, const TableEntry& leaf, unsigned level) {
    return leaf_any(leaf, level) | kPrivilegedNoExecute | (leaf.user ? kUser : 0) |
           (leaf.writable && leaf.dirty ? 0 : kReadOnly) | (leaf.global ? 0 : kNotGlobal);
}

std::uint64_t leaf_stage2(const Format&, const TableEntry& leaf, unsigned level) {
    return leaf_any(leaf, level) | kNormalMemory | (leaf.readable ? kRead : 0) |
           (leaf.writable && leaf.dirty ? kWrite : 0);
}

constexpr Format::Encoding kStage1{
    Format::Architecture::kArm64, decode, table, leaf, kAccessFlag, 0, kReadOnly};
constexpr Format::Encoding kStage2{
    Format::Architecture::kArm64, decode_stage2, table, leaf_stage2, kAccessFlag, kWrite, 0};

}  // namespace arm64

/// RISC-V privileged architecture, 10.3 to 10.6 (Sv39, Sv48), with Svnapot; two-stage: 15.5.
namespace riscv {

constexpr std::uint64_t kValid = bit(0), kRead = bit(1), kWrite = bit(2), kExecute = bit(3),
                        kUser = bit(4), kGlobal = bit(5), kAccessed = bit(6), kDirty = bit(7),
                        kFrame = bits(53, 10), kNapot = bit(63);
constexpr unsigned kFrameShift = 10;
constexpr std::uint64_t kNapotMask = 0xf, kNapot64K = 0x8;  // low bits of the frame number

TableEntry decode(const Format& format, std::uint64_t raw, unsigned level) {
    if (!(raw & kValid) || (raw & kWrite && !(raw & kRead))) return {};
    std::uint64_t frame = (raw & kFrame) >> kFrameShift;
    const bool is_leaf = raw & (kRead | kExecute);
    if (!is_leaf && level == 1) return {};
    TableEntry entry = of_kind(is_leaf ? Kind::kLeaf : Kind::kTable);
    entry.global = raw & kGlobal;
    entry.frame = {frame};
    if (!is_leaf) return raw & kNapot ? TableEntry{} : entry;
    entry.joined = raw & kNapot;
    if (entry.joined && (format.level(level).joined == 0 || (frame & kNapotMask) != kNapot64K))
        return {};
    if (entry.joined) frame &= ~kNapotMask;
    if (frame % bit(format.page_order(level, false)) != 0) return {};  // a misaligned superpage
    entry.frame = {frame};
    entry.readable = raw & kRead;
    entry.writable = raw & kWrite;
    entry.executable = raw & kExecute;
    entry.user = raw & kUser;
    entry.accessed = raw & kAccessed;
    entry.dirty = raw & kDirty;
    return entry;
}

/// The G-stage ignores G (15.5.1).
TableEntry decode_stage2(const Format& format, std::uint64_t raw, unsigned level) {
    return decode(format, raw & ~kGlobal, level);
}

std::uint64_t table(FrameNumber frame) { return frame.value << kFrameShift | kValid; }

std::uint64_t leaf(const Format&, const TableEntry& leaf, unsigned) {
    std::uint64_t frame = leaf.frame.value;
    if (leaf.joined) frame = (frame & ~kNapotMask) | kNapot64K;
    return frame << kFrameShift | kValid | (leaf.readable ? kRead : 0) |
           (leaf.writable ? kWrite : 0) | (leaf.executable ? kExecute : 0) |
           (leaf.user ? kUser : 0) | (leaf.global ? kGlobal : 0) | (leaf.accessed ? kAccessed : 0) |
           (leaf.dirty ? kDirty : 0) | (leaf.joined ? kNapot : 0);
}

constexpr Format::Encoding kEncoding{
    Format::Architecture::kRiscv, decode, table, leaf, kAccessed, kDirty, 0};
constexpr Format::Encoding kStage2{
    Format::Architecture::kRiscv, decode_stage2, table, leaf, kAccessed, kDirty, 0};

}  // namespace riscv

constexpr auto kFirst = Format::Stage::kFirst;
constexpr auto kSecond = Format::Stage::kSecond;
constexpr auto kSigned = Format::Inputs::kSignExtended;
constexpr auto kZero = Format::Inputs::kZeroExtended;

// From the smallest pages up: shift, index bits, whether there are leaves, log2 of joined entries.
constexpr Levels kX86{
    {{12, 9, true, 0}, {21, 9, true, 0}, {30, 9, true, 0}, {39, 9, false, 0}, {48, 9, false, 0}}};
constexpr Levels kArm4K{{{12, 9, true, 4}, {21, 9, true, 4}, {30, 9, true, 4}, {39, 9, false, 0}}};
constexpr Levels kArm16K{
    {{14, 11, true, 7}, {25, 11, true, 5}, {36, 11, false, 0}, {47, 1, false, 0}}};
constexpr Levels kArm64K{{{16, 13, true, 5}, {29, 13, true, 5}, {42, 6, false, 0}}};
// A second stage of 16 KiB granules cannot begin at the level of two entries: it begins a level
// below with two tables in a row (D8.2, concatenated tables).
constexpr Levels kArm16KStage2{{{14, 11, true, 7}, {25, 11, true, 5}, {36, 12, false, 0}}};
constexpr Levels kSv39{{{12, 9, true, 4}, {21, 9, true, 0}, {30, 9, true, 0}}};
constexpr Levels kSv48{{{12, 9, true, 4}, {21, 9, true, 0}, {30, 9, true, 0}, {39, 9, true, 0}}};
// Two more bits: four tables in a row (15.5.1).
constexpr Levels kSv39x4{{{12, 9, true, 4}, {21, 9, true, 0}, {30, 11, true, 0}}};
constexpr Levels kSv48x4{{{12, 9, true, 4}, {21, 9, true, 0}, {30, 9, true, 0}, {39, 11, true, 0}}};

constexpr Format kX86Level4{"x86-64-4level", "Intel SDM vol. 3, 4.5", kFirst, kSigned, 4, kX86,
                            x86::kEncoding};
constexpr Format kX86Level5{"x86-64-5level", "Intel SDM vol. 3, 4.5", kFirst, kSigned, 5, kX86,
                            x86::kEncoding};
constexpr Format kArm64With4K{
    "arm64-4k",    "Arm ARM (DDI 0487) D8, VMSAv8-64, 48 bits, TTBR0", kFirst, kZero, 4, kArm4K,
    arm64::kStage1};
constexpr Format kArm64With16K{
    "arm64-16k",   "Arm ARM (DDI 0487) D8, VMSAv8-64, 48 bits, TTBR0", kFirst, kZero, 4, kArm16K,
    arm64::kStage1};
constexpr Format kArm64With64K{
    "arm64-64k",   "Arm ARM (DDI 0487) D8, VMSAv8-64, 48 bits, TTBR0", kFirst, kZero, 3, kArm64K,
    arm64::kStage1};
constexpr Format kRiscvSv39{
    "sv39", "RISC-V privileged architecture, 10.4", kFirst, kSigned, 3, kSv39, riscv::kEncoding};
constexpr Format kRiscvSv48{
    "sv48", "RISC-V privileged architecture, 10.5", kFirst, kSigned, 4, kSv48, riscv::kEncoding};
constexpr Format kEptLevel4{"ept-4level",  "Intel SDM vol. 3, 28.3.2", kSecond, kZero, 4, kX86,
                            ept::kEncoding};
constexpr Format kArm64With4KStage2{"arm64-4k-stage2",
                                    "Arm ARM (DDI 0487) D8, VMSAv8-64 stage 2, 48 bits",
                                    kSecond,
                                    kZero,
                                    4,
                                    kArm4K,
                                    arm64::kStage2};
constexpr Format kArm64With16KStage2{
    "arm64-16k-stage2",
    "Arm ARM (DDI 0487) D8, VMSAv8-64 stage 2, 48 bits, concatenated root",
    kSecond,
    kZero,
    3,
    kArm16KStage2,
    arm64::kStage2};
constexpr Format kArm64With64KStage2{"arm64-64k-stage2",
                                     "Arm ARM (DDI 0487) D8, VMSAv8-64 stage 2, 48 bits",
                                     kSecond,
                                     kZero,
                                     3,
                                     kArm64K,
                                     arm64::kStage2};
constexpr Format kRiscvSv39x4{
    "sv39x4", "RISC-V privileged architecture, 15.5.1", kSecond, kZero, 3, kSv39x4, riscv::kStage2};
constexpr Format kRiscvSv48x4{
    "sv48x4", "RISC-V privileged architecture, 15.5.1", kSecond, kZero, 4, kSv48x4, riscv::kStage2};

}  // namespace

bool PageTableFormat::translates(std::uint64_t address) const {
    const unsigned width = input_bits();
    const std::uint64_t above = address >> (inputs == Inputs::kSignExtended ? width - 1 : width);
    const std::uint64_t ones = ~std::uint64_t{0} >> (width - 1);
    return above == 0 || (inputs == Inputs::kSignExtended && above == ones);
}

/// Never less than the smallest page, which software allocates tables by.
unsigned PageTableFormat::table_order(unsigned n) const {
    const unsigned size = std::max<unsigned>(level(n).index_bits + 3, level(1).shift);
    return size - kPageShift;
}

std::vector<unsigned> PageTableFormat::page_orders() const {
    std::vector<unsigned> orders;
    for (unsigned n = 1; n <= levels; ++n) {
        if (!level(n).leaves) continue;
        orders.push_back(page_order(n, false));
        if (level(n).joined > 0) orders.push_back(page_order(n, true));
    }
    std::sort(orders.begin(), orders.end());
    return orders;
}

const std::vector<const PageTableFormat*>& page_table_formats() {
    static const std::vector<const PageTableFormat*> formats{
        &kX86Level4,         &kX86Level5,          &kArm64With4K,        &kArm64With16K,
        &kArm64With64K,      &kRiscvSv39,          &kRiscvSv48,          &kEptLevel4,
        &kArm64With4KStage2, &kArm64With16KStage2, &kArm64With64KStage2, &kRiscvSv39x4,
        &kRiscvSv48x4};
    return formats;
}

const PageTableFormat* find_page_table_format(std::string_view name) {
    for (const auto* format : page_table_formats())
        if (format->name == name) return format;
    return nullptr;
}

const PageTableFormat& usual_second_stage(const PageTableFormat& first) {
    constexpr std::array<std::pair<const Format*, const Format*>, 5> kPairs{{
        {&kArm64With4K, &kArm64With4KStage2},
        {&kArm64With16K, &kArm64With16KStage2},
        {&kArm64With64K, &kArm64With64KStage2},
        {&kRiscvSv39, &kRiscvSv39x4},
        {&kRiscvSv48, &kRiscvSv48x4},
    }};
    for (const auto& [one, second] : kPairs)
        if (one == &first) return *second;
    return kEptLevel4;
}

const PageTableFormat& x86_64_4level() { return kX86Level4; }
const PageTableFormat& ept_4level() { return kEptLevel4; }

}  // namespace mmusim::rmap
