// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/ports/time_port.hpp"

namespace mmusim::rmap {

/// The registers of the IOMMU as the calling core reaches them.
class IommuPort {
public:
    virtual ~IommuPort() = default;

    /// A posted write of the invalidation queue's tail register: `tail` is the byte offset behind
    /// the last descriptor, which is a wait descriptor. Returns when the write has left the core.
    /// `write_back` belongs to the calling actor and becomes known when the status of the last
    /// descriptor is written and visible to it, with the stages Part::kIommuQueue (the queue has
    /// come to the first descriptor of this write), then Part::kIotlb or Part::kAtc (they are
    /// executed).
    virtual void write_queue_tail(std::uint64_t tail, Completion& write_back, Part part) = 0;
};

}  // namespace mmusim::rmap
