// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::models {

class DmaDeviceModule;

/// What a device does: the counterpart of CoreSoftware.
class DeviceProgram {
public:
    virtual ~DeviceProgram() = default;

    /// Runs on the device's thread, with interrupts off, from reset until the device has no more
    /// work; time passes in what it calls.
    virtual void run(DmaDeviceModule& device) = 0;
};

}  // namespace mmusim::models
