// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace mmusim::platform {

/// While it lives, Ctrl-C and SIGTERM, by which schedulers end a job, set a flag instead of ending
/// the program; the second of one kind ends it. One at a time.
class InterruptFlag {
public:
    InterruptFlag();
    ~InterruptFlag();
    InterruptFlag(const InterruptFlag&) = delete;
    InterruptFlag& operator=(const InterruptFlag&) = delete;

    const std::atomic<bool>& value() const;
};

}  // namespace mmusim::platform
