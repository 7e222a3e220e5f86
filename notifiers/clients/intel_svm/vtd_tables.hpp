// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/cpu.hpp"
#include "rmap/ports/frame_allocator.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::notifiers {

/// A device as the remapping unit knows it.
struct VtdDevice {
    rmap::SourceId source = 0;
    bool ats = false;  ///< has a device TLB, which invalidations must reach as well
};

/// Makes the scalable-mode tables of one remapping unit (drivers/iommu/intel-iommu.c and
/// intel-pasid.c, v5.0): a root table, context tables of half a bus, and for each device a PASID
/// directory and PASID tables of its own. The tables are their only state. Set-up only, on a CPU
/// whose ports let no time pass.
class VtdTableBuilder {
public:
    /// PASIDs from here on do not fit into a directory of one frame.
    static constexpr rmap::Pasid kPasids = 1u << 15;

    /// Takes a frame; bind() takes more.
    explicit VtdTableBuilder(rmap::FrameAllocator& frames)
        : frames_(frames), root_table_(address_of(frames.allocate_frame())) {}

    /// What the unit's root table address register gets.
    rmap::PhysAddr root_table() const { return root_table_; }

    /// Lets `device` use the page table `pgd` under `pasid`, which it does not use yet; makes the
    /// tables on the way that are missing. Returns the first word of the PASID entry.
    rmap::PhysAddr bind(rmap::Cpu& cpu, const VtdDevice& device, rmap::Pasid pasid,
                        rmap::FrameNumber pgd);

private:
    rmap::PhysAddr table_behind(rmap::Cpu& cpu, rmap::PhysAddr word, std::uint64_t flags);

    rmap::FrameAllocator& frames_;
    const rmap::PhysAddr root_table_;
};

/// intel_pasid_clear_entry(): the whole entry, its present bit first. The unit may still have it
/// cached. At any time; time passes: Part::kIommuSubmit.
void clear_pasid_entry(rmap::Cpu& cpu, rmap::PhysAddr entry);

}  // namespace mmusim::notifiers
