// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// The accesses of a device that are not known to be over. Plain: no time of its own.
class InFlightList {
public:
    /// Starts and ends ascend from call to call.
    void add(rmap::Pasid pasid, rmap::VirtAddr address, rmap::Instant start, rmap::Instant end) {
        accesses_.push_back({pasid, address, start, end});
    }

    /// Forgets what is over at `now`. Nobody asks for earlier times any more.
    void forget(rmap::Instant now) {
        while (!accesses_.empty() && accesses_.front().end <= now) accesses_.pop_front();
    }

    /// When fewer than `most` of the accesses are left.
    rmap::Instant fewer_than(std::size_t most) const {
        return accesses_.size() < most ? rmap::Instant{} : accesses_[accesses_.size() - most].end;
    }

    /// End of the last access to `range` that started before `time`; zero when there is none.
    rmap::Instant last_end(rmap::Pasid pasid, const rmap::VirtRange& range,
                           rmap::Instant time) const {
        rmap::Instant last{};
        for (const auto& access : accesses_)
            if (access.pasid == pasid && range.contains(access.address) && access.start < time)
                last = rmap::max(last, access.end);
        return last;
    }

    /// Accesses to `range` that started before `time` and are not over at `at`.
    std::uint64_t running(rmap::Pasid pasid, const rmap::VirtRange& range, rmap::Instant time,
                          rmap::Instant at) const {
        std::uint64_t count = 0;
        for (const auto& access : accesses_)
            count += access.pasid == pasid && range.contains(access.address) &&
                     access.start < time && access.end > at;
        return count;
    }

private:
    struct InFlight {
        rmap::Pasid pasid;
        rmap::VirtAddr address;
        rmap::Instant start;
        rmap::Instant end;
    };
    std::deque<InFlight> accesses_;
};

}  // namespace mmusim::models
