// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/second_stage_table.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::EptEntry;
using rmap::FrameNumber;
using rmap::GuestPhysAddr;
using rmap::kPageSize;
using rmap::Part;
using rmap::PhysAddr;
using rmap::PhysMemPort;
using rmap::Word;

// ---- set-up ----

/// The table that an entry of an upper level names; a new one if it names none.
FrameNumber SecondStageTable::table_below(PhysMemPort& memory, PhysAddr entry) {
    const EptEntry found{memory.load(entry, Part::kSecondStage).value};
    if (found.present()) return found.frame();
    const FrameNumber table = frames_.allocate_frame();
    memory.store(entry, {EptEntry::table(table).raw(), 0}, Part::kSecondStage);
    return table;
}

PhysAddr SecondStageTable::level2_entry(PhysMemPort& memory, GuestPhysAddr address) {
    FrameNumber table = root_;
    for (unsigned level = rmap::kEptLevels; level > 2; --level)
        table = table_below(memory, rmap::entry_address(table, address, level));
    return rmap::entry_address(table, address, 2);
}

void SecondStageTable::add_tables(PhysMemPort& memory, GuestPhysAddr first, std::uint64_t pages) {
    const std::uint64_t last = block_of(first + (pages * kPageSize - 1));
    for (std::uint64_t block = block_of(first); block <= last; ++block) {
        const auto [it, added] = blocks_.try_emplace(block);
        MMUSIM_CHECK(added || !it->second.large, "a 2 MiB entry leaves no room for other pages");
        if (!added) continue;
        const PhysAddr entry = level2_entry(memory, {block * rmap::kLargeSize});
        it->second = {entry, false, table_below(memory, entry)};
    }
}

bool SecondStageTable::add_large_block(PhysMemPort& memory, GuestPhysAddr address) {
    const auto [it, added] = blocks_.try_emplace(block_of(address));
    if (added) it->second = {level2_entry(memory, address), true, {}};
    return added;
}

void SecondStageTable::map_fixed(PhysMemPort& memory, GuestPhysAddr first, FrameNumber frame,
                                 std::uint64_t pages) {
    for (std::uint64_t page = 0; page < pages;) {
        const GuestPhysAddr address = first + page * kPageSize;
        const EptEntry entry = EptEntry::leaf(frame + page, true);
        const bool aligned =
            address.value % rmap::kLargeSize == 0 && (frame + page).value % rmap::kLargePages == 0;
        if (aligned && pages - page >= rmap::kLargePages && add_large_block(memory, address)) {
            memory.store(leaf(address).entry, {entry.with(EptEntry::kLargePage).raw(), 0},
                         Part::kSecondStage);
            page += rmap::kLargePages;
            continue;
        }
        add_tables(memory, address, 1);
        memory.store(leaf(address).entry, {entry.raw(), 0}, Part::kSecondStage);
        ++page;
    }
}

// ---- at run time ----

SecondStageTable::Leaf SecondStageTable::leaf(GuestPhysAddr address) const {
    const auto it = blocks_.find(block_of(address));
    MMUSIM_CHECK(it != blocks_.end(), "the tables of all memory of a VM are made at set-up");
    const Block& block = it->second;
    if (block.large) return {block.entry, {it->first * rmap::kLargeSize}, rmap::kLargePages};
    const GuestPhysAddr page{address.value & ~(kPageSize - 1)};
    return {rmap::entry_address(block.table, page, 1), page, 1};
}

void SecondStageTable::for_each_leaf(Cpu& cpu, GuestPhysAddr first, std::uint64_t pages,
                                     Visitor visit) const {
    const GuestPhysAddr end = first + pages * kPageSize;
    for (GuestPhysAddr address = first; address < end;) {
        cpu.spend(cpu.costs().kvm_unmap_page, Part::kSecondStage);
        const Leaf found = leaf(address);
        visit(found);
        address = found.first + found.pages * kPageSize;
    }
}

EptEntry SecondStageTable::read(Cpu& cpu, const Leaf& leaf) {
    return EptEntry{cpu.memory().load(leaf.entry, Part::kSecondStage).value};
}

Word SecondStageTable::exchange(Cpu& cpu, const Leaf& leaf, EptEntry entry,
                                rmap::Generation generation) {
    return cpu.memory().exchange(leaf.entry, {entry.raw(), generation}, Part::kSecondStage);
}

void SecondStageTable::clear_accessed(Cpu& cpu, const Leaf& leaf) {
    const auto clear = [](Word old, rmap::Instant) {
        return Word{EptEntry{old.value}.without(EptEntry::kAccessed).raw(), old.generation};
    };
    cpu.memory().read_modify_write(leaf.entry, clear, Part::kSecondStage);
}

}  // namespace mmusim::notifiers
