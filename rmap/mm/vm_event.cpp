// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/vm_event.hpp"

namespace mmusim::rmap {

VmEventCounters::VmEventCounters(std::size_t cpus, unsigned memcgs)
    : of_cpu_(cpus, std::vector<VmEventCounts>(memcgs, VmEventCounts{})) {}

VmEventCounts VmEventCounters::sum(unsigned memcg) const {
    VmEventCounts sum{};
    for (const auto& groups : of_cpu_)
        for (std::size_t i = 0; i < kVmEvents; ++i) sum[i] += groups.at(memcg)[i];
    return sum;
}

void VmEventCounters::reset() {
    for (auto& groups : of_cpu_) groups.assign(groups.size(), VmEventCounts{});
}

}  // namespace mmusim::rmap
