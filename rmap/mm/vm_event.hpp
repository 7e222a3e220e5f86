// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "rmap/ports/cpu.hpp"

namespace mmusim::rmap {

/// enum vm_event_item. Rows of vm_events.def.
enum class VmEvent : unsigned char {
#define MMUSIM_VM_EVENT(enumerator, name, meaning) enumerator,
#include "rmap/types/vm_events.def"
#undef MMUSIM_VM_EVENT
};

struct VmEventInfo {
    std::string_view name;
    std::string_view meaning;
};

inline constexpr VmEventInfo kVmEventTable[] = {
#define MMUSIM_VM_EVENT(enumerator, name, meaning) {name, meaning},
#include "rmap/types/vm_events.def"
#undef MMUSIM_VM_EVENT
};
inline constexpr std::size_t kVmEvents = sizeof(kVmEventTable) / sizeof(kVmEventTable[0]);

using VmEventCounts = std::array<std::uint64_t, kVmEvents>;

/// The event counters of all memory control groups. A fault counts for the group of the mm in which
/// it happens, everything else for the group that the page is charged to; v5.0 counts swap traffic
/// for the whole machine only. Each CPU counts for itself, as this_cpu_add() does, so counting
/// takes no time that is worth a cost.
class VmEventCounters {
public:
    VmEventCounters(std::size_t cpus, unsigned memcgs);

    /// count_memcg_events(), with interrupts on or off.
    void count(const Cpu& cpu, unsigned memcg, VmEvent event, std::uint64_t n = 1) {
        of_cpu_.at(cpu.id()).at(memcg)[static_cast<std::size_t>(event)] += n;
    }
    /// The sum over all CPUs. For reports, when they have stopped.
    VmEventCounts sum(unsigned memcg) const;
    /// Forgets what set-up has counted.
    void reset();

private:
    std::vector<std::vector<VmEventCounts>> of_cpu_;  ///< by CPU and group; each CPU's own
};

}  // namespace mmusim::rmap
