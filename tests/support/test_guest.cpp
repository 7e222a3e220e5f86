// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_guest.hpp"

namespace mmusim::test {

using rmap::EptEntry;
using rmap::FrameNumber;
using rmap::GuestPhysAddr;
using rmap::Part;
using rmap::PhysAddr;
using rmap::Pte;

namespace {

std::uint64_t peek(TestMachine& machine, PhysAddr address) {
    return machine->memory().backdoor().load(address, Part::kUser).value;
}

}  // namespace

void TestGuest::back(GuestFrame frame, unsigned level, std::uint64_t flags,
                     rmap::Generation generation) {
    const GuestPhysAddr address{frame * rmap::kPageSize};
    FrameNumber table = rmap::frame_of(second_root());
    for (unsigned above = rmap::kEptLevels; above > level; --above) {
        const auto at = rmap::entry_address(table, address, above);
        EptEntry entry(peek(machine_, at));
        if (!entry.present()) {
            entry = EptEntry::table(rmap::frame_of(second_root()) + second_tables_++);
            machine_.poke(at, entry.raw());
        }
        table = entry.frame();
    }
    const bool large = level == kLarge;
    const auto entry =
        leaf(large ? frame / 512 * 512 : frame, flags).with(large ? EptEntry::kLargePage : 0);
    machine_.poke(rmap::entry_address(table, address, level), entry.raw(), generation);
}

void TestGuest::back_all(unsigned level) {
    for (GuestFrame frame = 0; frame < 1024; frame += level == kLarge ? 512 : 1) back(frame, level);
}

void TestGuest::map(rmap::VirtAddr address, GuestFrame frame, std::uint64_t flags, unsigned level) {
    FrameNumber table{kTables};
    for (unsigned above = rmap::kPageTableLevels; above > level; --above) {
        const auto at = host_of({rmap::entry_address(table, address, above).value});
        Pte entry(peek(machine_, at));
        if (entry.none()) {
            entry = Pte::present_entry(FrameNumber{kTables + guest_tables_++}, Pte::kWritable);
            machine_.poke(at, entry.raw());
        }
        table = entry.frame();
    }
    const auto entry =
        Pte::present_entry(FrameNumber{frame}, flags | (level == kLarge ? Pte::kPageSize : 0));
    machine_.poke(host_of({rmap::entry_address(table, address, level).value}), entry.raw());
}

PhysAddr TestGuest::second_entry(GuestFrame frame, unsigned level) const {
    const GuestPhysAddr address{frame * rmap::kPageSize};
    FrameNumber table = rmap::frame_of(second_root());
    for (unsigned above = rmap::kEptLevels; above > level; --above)
        table = EptEntry(peek(machine_, rmap::entry_address(table, address, above))).frame();
    return rmap::entry_address(table, address, level);
}

GuestPhysAddr TestGuest::entry(rmap::VirtAddr address, unsigned level) const {
    FrameNumber table{kTables};
    for (unsigned above = rmap::kPageTableLevels; above > level; --above) {
        const auto at = host_of({rmap::entry_address(table, address, above).value});
        table = Pte(peek(machine_, at)).frame();
    }
    return {rmap::entry_address(table, address, level).value};
}

PhysAddr TestGuest::host_entry(rmap::VirtAddr address, unsigned level) const {
    return host_of(entry(address, level));
}

}  // namespace mmusim::test
