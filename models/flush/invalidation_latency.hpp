// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/time.hpp"

namespace mmusim::models {

/// Costs of a core's own invalidation instructions.
struct InvalidationLatency {
    rmap::Duration invlpg{};
    rmap::Duration invpcid_address{};
    rmap::Duration cr3_write{};           ///< with flush
    rmap::Duration cr3_write_no_flush{};  ///< bit 63 set
    rmap::Duration all{};                 ///< INVPCID type 2 or CR4.PGE toggled
    rmap::Duration invept{};              ///< single-context
};

}  // namespace mmusim::models
