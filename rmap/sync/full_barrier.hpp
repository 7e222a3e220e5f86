// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/cpu.hpp"

namespace mmusim::rmap {

/// smp_mb() behind a locked instruction that was serialised at `own_write`: returns when everybody
/// can see it. A load from here on sees what others wrote before that. Two CPUs that each write
/// and then read what the other one writes therefore cannot both miss the other's write.
inline void full_barrier(Cpu& cpu, Instant own_write, Part part) {
    const Instant visible = own_write + cpu.time().visibility();
    if (cpu.now() < visible) cpu.spend(visible - cpu.now(), part);
}

}  // namespace mmusim::rmap
