// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace mmusim::platform {

/// While it lives, Ctrl-C sets a flag instead of ending the program; a second Ctrl-C ends it. One
/// at a time.
class InterruptFlag {
public:
    InterruptFlag();
    ~InterruptFlag();
    InterruptFlag(const InterruptFlag&) = delete;
    InterruptFlag& operator=(const InterruptFlag&) = delete;

    const std::atomic<bool>& value() const;
};

}  // namespace mmusim::platform
