// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>

#include "rmap/types/pte.hpp"
#include "tests/support/device_machine.hpp"

namespace mmusim::test {

/// Every device has this PASID for the page tables of the cores.
constexpr rmap::Pasid kPasid = 0x1234;
constexpr std::uint64_t kTouched = rmap::Pte::kWritable | rmap::Pte::kAccessed | rmap::Pte::kDirty;

inline rmap::VirtAddr page(std::uint64_t n) {
    return rmap::VirtAddr{0x40000000} + n * rmap::kPageSize;
}

/// Maps page n to frame 500 + n with generation 7 + n, for all devices.
inline void map_pages(DeviceMachine& machine, unsigned pages) {
    for (std::size_t n = 0; n < machine.options().devices.size(); ++n)
        machine.bind(n, kPasid, machine.cores().root());
    for (unsigned n = 0; n < pages; ++n)
        machine.cores().map(page(n), rmap::FrameNumber{500 + n}, kTouched, 7 + n);
}

/// The device keeps no translations, so that every access asks the IOMMU.
inline DeviceMachine::Options without_atc() {
    DeviceMachine::Options options;
    options.devices[0].atc.arrays.clear();
    return options;
}

inline DeviceMachine::Options untranslated() {
    DeviceMachine::Options options;
    options.devices[0].ats = false;
    return options;
}

/// What an access that misses the ATC costs besides walks: there, lookups and fill, and back.
inline rmap::Duration hit_time(const DeviceMachine& machine) {
    const auto& device = machine.options().devices[0];
    return device.atc.lookup + device.link + machine.options().iommu.iotlb.lookup + device.link +
           device.atc.fill;
}

/// How long a device that may access page n waits for it.
inline rmap::Duration read_page(models::DmaDeviceModule& device, std::uint64_t n,
                                rmap::Access access = rmap::Access::kRead) {
    const rmap::Instant asked = device.time().local_now();
    CHECK(device.access(kPasid, page(n), access) == models::DmaResult::kStarted);
    return device.time().local_now() - asked;
}

/// Where the words are that lead to a PASID entry.
struct TableWords {
    rmap::PhysAddr root;
    rmap::PhysAddr context;
    rmap::PhysAddr directory;
    rmap::PhysAddr entry;  ///< the first word of the PASID entry
};

inline TableWords table_words(DeviceMachine& machine, std::size_t device = 0) {
    using rmap::VtdTables;
    const auto source = machine.options().devices[device].source;
    const auto next = [&](rmap::PhysAddr at) {
        auto& memory = machine.cores()->memory().backdoor();
        return rmap::PhysAddr{memory.load(at, rmap::Part::kUser).value & VtdTables::kPointer};
    };
    TableWords words;
    words.root = VtdTables::root_word(rmap::address_of(DeviceMachine::kRootTable), source);
    words.context = VtdTables::context_word(next(words.root), source);
    words.directory = VtdTables::directory_word(next(words.context), kPasid);
    words.entry = VtdTables::pasid_entry(next(words.directory), kPasid);
    return words;
}

/// Before the run: flips bits of a word of a table.
inline void flip(DeviceMachine& machine, rmap::PhysAddr word, std::uint64_t bits) {
    const auto value = machine.cores()->memory().backdoor().load(word, rmap::Part::kUser).value;
    machine.cores().poke(word, value ^ bits);
}

/// Reads of root, context and PASID tables.
inline std::uint64_t table_reads(DeviceMachine& machine) {
    std::uint64_t reads = 0;
    for (std::size_t n = 0; n < machine.iommu().walkers(); ++n)
        reads += machine.iommu().walker(n).table_reads();
    return reads;
}

inline std::uint64_t page_table_reads(DeviceMachine& machine) {
    std::uint64_t reads = 0;
    for (std::size_t n = 0; n < machine.iommu().walkers(); ++n)
        reads += machine.iommu().walker(n).stats().reads;
    return reads;
}

}  // namespace mmusim::test
