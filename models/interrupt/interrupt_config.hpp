// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/time.hpp"

namespace mmusim::models {

/// The interrupt fabric: x2APIC with logical clusters (Intel SDM vol. 3, 10.12.10.2), or a flat
/// one when cluster_size is 1.
struct InterruptConfig {
    rmap::Duration write{};      ///< interrupt-command register write, on the sender
    rmap::Duration to_fabric{};  ///< from the write to the fabric's queue
    rmap::Duration slot{};       ///< the fabric handles one target per slot
    rmap::Duration delivery{};   ///< from the slot to the target core, same socket
    rmap::Duration hop{};        ///< added per step between sockets
    unsigned cluster_size = 16;  ///< targets that one write can address
};

}  // namespace mmusim::models
