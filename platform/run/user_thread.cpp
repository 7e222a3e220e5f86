// SPDX-License-Identifier: Apache-2.0
#include "platform/run/user_thread.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::platform {

void UserThread::run(models::CoreModule& core, rmap::Cpu& cpu) {
    for (;;) {
        const auto next = plan_.next(cpu.memory());
        if (next == AccessPlan::Next::kFinished) return;
        if (next == AccessPlan::Next::kWait) {
            cpu.spend(Rendezvous::kPoll, rmap::Part::kUser);
            continue;
        }
        const auto [address, kind] = plan_.access();
        // The instruction is repeated until its page is there.
        while (core.access(address, kind, access_time_) != rmap::Fault::kNone) {
            const auto result = kernel_.handle_page_fault(cpu, mm_, address, kind);
            MMUSIM_CHECK(result == rmap::FaultResult::kHandled,
                         "a thread of the scenario accesses only what is mapped");
        }
    }
}

}  // namespace mmusim::platform
