// SPDX-License-Identifier: Apache-2.0
#include "platform/run/dma_program.hpp"

namespace mmusim::platform {

void DmaProgram::run(models::DmaDeviceModule& device) {
    if (!plan_) return;
    device.label_address_space(stream_.pasid, stream_.mm);
    for (;;) {
        const auto next = plan_->next(device.memory());
        if (next == AccessPlan::Next::kFinished) break;
        if (next == AccessPlan::Next::kWait) {
            device.time().spend(Rendezvous::kPoll, rmap::Part::kUser);
            continue;
        }
        // The engine is busy for the gap; a translation that takes longer holds it up.
        const rmap::Instant ready = device.time().local_now() + stream_.config->gap;
        const auto [address, kind] = plan_->access();
        const auto result = device.access(stream_.pasid, address, kind);
        if (result == models::DmaResult::kFault)
            device.time().spend(stream_.config->fault_pause, rmap::Part::kUser);
        else
            device.time().spend(rmap::time_until(device.time().local_now(), ready),
                                rmap::Part::kUser);
    }
    finished_ = true;
}

}  // namespace mmusim::platform
