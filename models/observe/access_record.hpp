// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// One use of a cached translation, for the observers.
struct AccessRecord {
    rmap::Instant time;    ///< when the access is done
    rmap::Instant filled;  ///< when the entry's PTE was read
    rmap::PageNumber page{};
    rmap::FrameNumber frame{};
    rmap::Generation generation = 0;
    rmap::Access access{};
    rmap::MmId mm = 0;  ///< address space that the core or device uses; a guest: its process
    rmap::VmId vm = 0;  ///< the guest whose virtual `page` is; 0 = none
};

/// A use of a cached translation where a walk at the same time, through no cache, would have ended
/// otherwise.
struct WalkDifference {
    enum class What : unsigned char {
        kNotMapped,   ///< in a fault
        kOtherFrame,  ///< at another frame
        kNotAllowed,  ///< in a fault, since the access is not allowed any more
        kClean,       ///< at a leaf that is not dirty, though the cached one stored without a walk
    };
    AccessRecord use;
    What what{};
};

/// Judges accesses. Called with records of one agent in ascending time, only for times that kernel
/// time has passed, so that everything that could make them wrong is known.
class AccessObserver {
public:
    virtual ~AccessObserver() = default;
    virtual void judge(rmap::ActorId agent, const AccessRecord* first,
                       const AccessRecord* last) = 0;
    /// Of `compared` of these accesses it was looked up what an uncached walk finds; it differed
    /// for these. Whoever judges frames only has no use for it.
    virtual void judge_walks(rmap::ActorId /*agent*/, std::uint64_t /*compared*/,
                             const std::vector<WalkDifference>& /*differences*/) {}
};

}  // namespace mmusim::models
