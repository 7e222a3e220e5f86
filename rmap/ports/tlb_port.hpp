// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/part.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::rmap {

/// The invalidation instructions of the calling core, over its own MMU. Time passes; on return
/// the entries are gone and the accesses through them are done.
class TlbPort {
public:
    virtual ~TlbPort() = default;
    virtual void execute(const TlbOperation& operation, Part part) = 0;
};

}  // namespace mmusim::rmap
