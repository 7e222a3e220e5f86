// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "models/tlm/inbox.hpp"
#include "rmap/ports/time_port.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

/// An ATS invalidate request (PCI Express 5.0, 10.3).
struct DeviceTlbInvalidation {
    rmap::OperationId operation = 0;
    rmap::SourceId source = 0;  ///< the device that it is meant for
    rmap::Pasid pasid = 0;
    rmap::VirtRange range;
    rmap::Completion* completion = nullptr;  ///< of the IOMMU: the device's answer is back
};

/// One invalidate request on its way from the IOMMU to a device.
///   key          in  when it arrives there, and its place in the total order
///   invalidation in
class DeviceTlbInvalidationExtension final
    : public tlm::tlm_extension<DeviceTlbInvalidationExtension> {
public:
    EffectKey key;
    DeviceTlbInvalidation invalidation;

    tlm::tlm_extension_base* clone() const override {
        return new DeviceTlbInvalidationExtension(*this);
    }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const DeviceTlbInvalidationExtension&>(other);
    }
};

}  // namespace mmusim::models
