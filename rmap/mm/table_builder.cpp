// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/table_builder.hpp"

#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

constexpr Part kPart = Part::kPteAccess;

/// The first address of the page of 2^order frames around `address`.
std::uint64_t page_of_order(std::uint64_t address, unsigned order) {
    return address >> (kPageShift + order) << (kPageShift + order);
}

}  // namespace

TableBuilder::TableBuilder(const PageTableFormat& format, PhysMemPort& memory,
                           AllocateTable allocate)
    : format_(format),
      memory_(memory),
      allocate_(std::move(allocate)),
      root_(allocate_(format.table_order(format.levels))) {}

TableBuilder::Place TableBuilder::place_of(unsigned order) const {
    for (unsigned level = 1; level <= format_.levels; ++level) {
        if (!format_.level(level).leaves) continue;
        if (format_.page_order(level, false) == order) return {level, false};
        if (format_.level(level).joined > 0 && format_.page_order(level, true) == order)
            return {level, true};
    }
    MMUSIM_CHECK(false, "the format has pages of that size");
    return {};
}

void TableBuilder::store(PhysAddr entry, std::uint64_t raw, Generation generation) {
    memory_.store(entry, {raw, generation}, kPart);
}

/// The table of `level` on the way to `address`; nothing if it is not there and not to be made.
std::optional<FrameNumber> TableBuilder::table_at(std::uint64_t address, unsigned level,
                                                  bool make) {
    FrameNumber table = root_;
    for (unsigned n = format_.levels; n > level; --n) {
        const PhysAddr at = format_.entry(table, address, n);
        const TableEntry entry = format_.decode(memory_.load(at, kPart).value, n);
        if (!entry.table() && !make) return std::nullopt;
        if (entry.table()) {
            table = entry.frame;
        } else {
            table = allocate_(format_.table_order(n - 1));
            store(at, format_.encode_table(table), 0);
        }
    }
    return table;
}

void TableBuilder::map(std::uint64_t address, unsigned order, FrameNumber frame,
                       const Attributes& attributes, Generation generation) {
    MMUSIM_CHECK(format_.translates(address), "the format has the address");
    MMUSIM_CHECK(frame.value % (std::uint64_t{1} << order) == 0, "frames of a page are aligned");
    const Place place = place_of(order);
    TableEntry leaf;
    leaf.kind = TableEntry::Kind::kLeaf;
    leaf.readable = attributes.readable;
    leaf.writable = attributes.writable;
    leaf.executable = attributes.executable;
    leaf.user = attributes.user;
    leaf.global = attributes.global;
    leaf.accessed = attributes.accessed;
    leaf.dirty = attributes.dirty;
    leaf.joined = place.joined;
    const FrameNumber table = *table_at(address, place.level, true);
    const unsigned part_order = format_.page_order(place.level, false);
    const std::uint64_t first = page_of_order(address, order);
    for (std::uint64_t part = 0; part < std::uint64_t{1} << (order - part_order); ++part) {
        leaf.frame = frame + (part << part_order);
        const auto at =
            format_.entry(table, first + (part << (part_order + kPageShift)), place.level);
        store(at, format_.encode_leaf(leaf, place.level), generation);
    }
}

void TableBuilder::unmap(std::uint64_t address, unsigned order) {
    const Place place = place_of(order);
    const auto table = table_at(address, place.level, false);
    if (!table) return;
    const unsigned part_order = format_.page_order(place.level, false);
    const std::uint64_t first = page_of_order(address, order);
    for (std::uint64_t part = 0; part < std::uint64_t{1} << (order - part_order); ++part)
        store(format_.entry(*table, first + (part << (part_order + kPageShift)), place.level), 0,
              0);
}

std::optional<TableBuilder::Leaf> TableBuilder::find(std::uint64_t address) const {
    FrameNumber table = root_;
    for (unsigned level = format_.levels; level >= 1; --level) {
        const PhysAddr at = format_.entry(table, address, level);
        const TableEntry entry = format_.decode(memory_.load(at, kPart).value, level);
        if (entry.leaf()) return Leaf{at, level, entry};
        if (!entry.table()) return std::nullopt;
        table = entry.frame;
    }
    return std::nullopt;
}

}  // namespace mmusim::rmap
