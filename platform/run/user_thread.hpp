// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/cpu/core_module.hpp"
#include "platform/run/access_plan.hpp"
#include "rmap/kernel.hpp"

namespace mmusim::platform {

/// A thread of a process: accesses its memory through the core's MMU and faults where it must.
class UserThread {
public:
    UserThread(rmap::Mm& mm, MemoryUse use, rmap::Duration access_time, Rendezvous& rendezvous,
               rmap::Kernel& kernel)
        : mm_(mm), plan_(std::move(use), rendezvous), access_time_(access_time), kernel_(kernel) {}

    /// Until all operations are finished.
    void run(models::CoreModule& core, rmap::Cpu& cpu);

private:
    rmap::Mm& mm_;
    AccessPlan plan_;
    const rmap::Duration access_time_;
    rmap::Kernel& kernel_;
};

}  // namespace mmusim::platform
