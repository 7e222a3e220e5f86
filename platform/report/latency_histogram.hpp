// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "platform/report/latency_stats.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// How often each latency occurred, exactly. For latencies that are sums of few parameters: its
/// memory is one number for each different one.
class LatencyHistogram {
public:
    void add(rmap::Duration latency) { add(latency, 1); }
    void add(rmap::Duration latency, std::uint64_t count) {
        Slot& slot = slots_[(latency.ps / kMix) % slots_.size()];
        if (slot.ps != latency.ps) empty(slot, latency.ps);
        slot.count += count;
    }

    /// Everything that was added so far. By latency in ps, only those that occurred.
    std::map<std::uint64_t, std::uint64_t> counts() const;
    LatencyStats stats() const;

private:
    struct Slot {
        std::uint64_t ps = 0;
        std::uint64_t count = 0;
    };
    static constexpr std::uint64_t kMix = 3;  ///< clocks are rarely multiples of it

    void empty(Slot& slot, std::uint64_t ps);

    std::array<Slot, 256> slots_{};  ///< recent latencies, for speed; their counts are not in old_
    std::map<std::uint64_t, std::uint64_t> old_;
};

}  // namespace mmusim::platform
