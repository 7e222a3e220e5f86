// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/types/page_table_format.hpp"

namespace mmusim::rmap {

/// Writes page tables of any format into simulated memory, for software that is not the kernel
/// engine: set-up of machines that only translate, and tests. It flushes nothing. Time passes as
/// the port lets it, for Part::kPteAccess. Input addresses are as in PageTableFormat.
class TableBuilder {
public:
    /// 2^order frames in a row, aligned to their size and all zero, as `memory` addresses them.
    using AllocateTable = std::function<FrameNumber(unsigned order)>;

    /// Allocates an empty root table. `format` and `memory` outlive the builder.
    TableBuilder(const PageTableFormat& format, PhysMemPort& memory, AllocateTable allocate);

    const PageTableFormat& format() const { return format_; }
    PhysAddr root() const { return address_of(root_); }

    /// What a page allows, and the state of its bits. A clean or unused page is of use only where
    /// the walker, or whoever handles its faults, changes that.
    struct Attributes {
        bool readable = true;
        bool writable = true;
        bool executable = true;
        bool user = true;
        bool global = false;
        bool accessed = true;
        bool dirty = true;
    };

    /// Maps the page of 2^order frames around `address`, one of format().page_orders(), to the
    /// frames from `frame` on, which is aligned to it. Replaces what was there: a large page, or a
    /// whole table, goes with all that it mapped. Every word gets `generation`.
    void map(std::uint64_t address, unsigned order, FrameNumber frame, const Attributes& attributes,
             Generation generation = 0);
    /// Clears the entries of the page of that size around `address`, if there are any.
    void unmap(std::uint64_t address, unsigned order);

    struct Leaf {
        PhysAddr entry{};  ///< of joined ones, that of `address`
        unsigned level = 0;
        TableEntry says;
    };
    /// The leaf that maps `address`; nothing if none does.
    std::optional<Leaf> find(std::uint64_t address) const;

private:
    struct Place {
        unsigned level = 0;
        bool joined = false;
    };
    Place place_of(unsigned order) const;
    std::optional<FrameNumber> table_at(std::uint64_t address, unsigned level, bool make);
    void store(PhysAddr entry, std::uint64_t raw, Generation generation);

    const PageTableFormat& format_;
    PhysMemPort& memory_;
    const AllocateTable allocate_;
    const FrameNumber root_;
};

}  // namespace mmusim::rmap
