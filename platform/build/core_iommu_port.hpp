// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/cpu/core_module.hpp"
#include "models/iommu/iommu_config.hpp"
#include "rmap/ports/iommu_port.hpp"

namespace mmusim::platform {

/// The IOMMU's registers as one core reaches them.
class CoreIommuPort final : public rmap::IommuPort {
public:
    CoreIommuPort(models::CoreModule& core, const models::IommuConfig& config)
        : core_(core), write_(config.doorbell_write), way_(config.doorbell) {}

    void write_queue_tail(std::uint64_t tail, rmap::Completion& write_back,
                          rmap::Part part) override {
        core_.write_queue_tail(tail, write_back, write_, way_, part);
    }

private:
    models::CoreModule& core_;
    const rmap::Duration write_;
    const rmap::Duration way_;
};

}  // namespace mmusim::platform
