// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/intel_svm/vtd_tables.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::Part;
using rmap::PhysAddr;
using rmap::VtdTables;

/// The table that `word` points to; if there is none, a new one is entered with `flags`.
PhysAddr VtdTableBuilder::table_behind(Cpu& cpu, PhysAddr word, std::uint64_t flags) {
    const std::uint64_t entry = cpu.memory().load(word, Part::kIommuSubmit).value;
    if (entry & VtdTables::kPresent) return {entry & VtdTables::kPointer};
    const PhysAddr table = address_of(frames_.allocate_frame());
    cpu.memory().store(word, {table.value | VtdTables::kPresent | flags, 0}, Part::kIommuSubmit);
    return table;
}

PhysAddr VtdTableBuilder::bind(Cpu& cpu, const VtdDevice& device, rmap::Pasid pasid,
                               rmap::FrameNumber pgd) {
    MMUSIM_CHECK(pasid < kPasids, "a PASID directory is one frame");
    const PhysAddr context_table =
        table_behind(cpu, VtdTables::root_word(root_table_, device.source), 0);
    const PhysAddr context = VtdTables::context_word(context_table, device.source);
    const PhysAddr directory = table_behind(
        cpu, context, VtdTables::kPasidEnable | (device.ats ? VtdTables::kDeviceTlbEnable : 0));
    const PhysAddr table = table_behind(cpu, VtdTables::directory_word(directory, pasid), 0);

    const PhysAddr entry = VtdTables::pasid_entry(table, pasid);
    MMUSIM_CHECK(!(cpu.memory().load(entry, Part::kIommuSubmit).value & VtdTables::kPresent),
                 "a PASID of a device names one address space");
    cpu.memory().store(VtdTables::first_level_word(entry), {address_of(pgd).value, 0},
                       Part::kIommuSubmit);
    cpu.memory().store(entry, {VtdTables::kPresent | VtdTables::kFirstLevelOnly, 0},
                       Part::kIommuSubmit);
    return entry;
}

void clear_pasid_entry(Cpu& cpu, PhysAddr entry) {
    constexpr std::uint64_t kWords = 8;
    for (std::uint64_t word = 0; word < kWords; ++word)
        cpu.memory().store(entry + 8 * word, {}, Part::kIommuSubmit);
}

}  // namespace mmusim::notifiers
