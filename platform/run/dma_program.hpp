// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "models/device/dma_device_module.hpp"
#include "platform/config/scenario_config.hpp"
#include "platform/run/access_plan.hpp"

namespace mmusim::platform {

/// What a device does: DMA in one address space, as the plan says. It learns what to do from words
/// of memory, as a device learns of its work from descriptors.
class DmaProgram final : public models::DeviceProgram {
public:
    struct Stream {
        const DmaConfig* config = nullptr;
        rmap::Pasid pasid = 0;
        rmap::MmId mm = 0;
    };

    /// Set-up. Without a stream the device is idle.
    void assign(const Stream& stream, MemoryUse use, Rendezvous& rendezvous) {
        stream_ = stream;
        plan_.emplace(std::move(use), rendezvous);
    }

    void run(models::DmaDeviceModule& device) override;

    bool finished() const { return !plan_ || finished_; }

private:
    Stream stream_;
    std::optional<AccessPlan> plan_;
    bool finished_ = false;
};

}  // namespace mmusim::platform
