// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "platform/config/platform_config.hpp"
#include "platform/config/scenario_config.hpp"
#include "platform/run/access_plan.hpp"
#include "rmap/kernel.hpp"

namespace mmusim::platform {

/// One process of a group.
struct Process {
    const ProcessConfig* config = nullptr;
    rmap::Mm* mm = nullptr;
    rmap::CpuId first_cpu = 0;
};

/// A region where it lies: one range, or one for each round of the munmap that consumes it.
struct Region {
    const RegionConfig* config = nullptr;
    const OperationConfig* munmap = nullptr;
    std::vector<rmap::VirtRange> ranges;
};

/// The processes of a scenario and what they have mapped, in the state in which the run begins.
class Processes {
public:
    using SetupCpuOf = std::function<rmap::Cpu&(rmap::CpuId)>;

    Processes(const ScenarioConfig& scenario, const models::Topology& topology)
        : scenario_(scenario), topology_(topology) {
        lay_out();
    }

    /// Creates the processes and populates their regions. No time passes.
    void set_up(rmap::Kernel& kernel, const SetupCpuOf& setup);

    std::deque<Process>& all() { return processes_; }
    std::vector<Process*> of(const std::string& name);
    Process& first_of(const std::string& name) { return *of(name).front(); }
    const Region& region(const std::string& name) const;
    std::vector<const Region*> regions_of(const std::string& process) const;

    /// Pages that the regions of all processes need, each counted as often as it is private.
    std::uint64_t pages() const;
    /// Lines of one CPU's slab that set_up() and fork operations take at most: those of mms, of
    /// their VMAs and of an anon_vma for each.
    std::uint64_t slab_lines() const;
    /// Processes that are made during the run; the top page table of each remains.
    std::uint64_t children() const;
    /// Memory control group; 0 is for everybody who is not part of the scenario.
    unsigned group_of(const std::string& process) const;

    /// How a user of the memory of `process` accesses it. What is unmapped is touched on request
    /// only, as is what is not in use.
    MemoryUse memory_use(const std::string& process, AccessPattern pattern, unsigned write_percent,
                         std::uint64_t seed) const;
    MemoryUse memory_use(const MemoryUserConfig& user, std::uint64_t seed) const {
        return memory_use(user.process, user.pattern, user.write_percent, seed);
    }

private:
    rmap::CpuId first_cpu(const ProcessConfig& config, unsigned n) const;
    void lay_out();
    void map_region(const Region& region, Process& process, rmap::AddressSpace* file,
                    rmap::Kernel& kernel, rmap::Cpu& cpu);
    void set_up_group(const ProcessConfig& config, rmap::Kernel& kernel, const SetupCpuOf& setup);

    const ScenarioConfig& scenario_;
    const models::Topology& topology_;
    std::vector<Region> regions_;
    std::deque<Process> processes_;
};

}  // namespace mmusim::platform
