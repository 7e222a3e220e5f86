// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/address.hpp"
#include "rmap/types/event.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::rmap {

/// struct flush_tlb_info (arch/x86/include/asm/tlbflush.h): one request, the same for all CPUs.
struct FlushTlbInfo {
    MmId mm = 0;  ///< 0: whichever mm a CPU has loaded (arch_tlbbatch_flush)
    VirtRange range = kAllAddresses;
    std::uint64_t new_tlb_gen = 0;
    unsigned stride_shift = kPageShift;
    bool freed_tables = false;  ///< lazy CPUs must drop their walk caches as well

    bool everything() const { return range.end == kAllAddresses.end; }

    /// What tracepoints report: the range in units of 1 << shift, rounded down.
    std::uint64_t units(unsigned shift) const {
        return everything() ? kAllPages : (range.end - range.start) >> shift;
    }
};

}  // namespace mmusim::rmap
