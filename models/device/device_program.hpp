// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::models {

class DmaDeviceModule;

/// What a device does: the counterpart of CoreSoftware.
class DeviceProgram {
public:
    virtual ~DeviceProgram() = default;

    /// Runs from reset until the device has no more work.
    virtual void run(DmaDeviceModule& device) = 0;
};

}  // namespace mmusim::models
