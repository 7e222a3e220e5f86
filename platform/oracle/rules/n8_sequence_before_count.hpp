// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/client_counts.hpp"

namespace mmusim::platform {

/// N8: at the end of a section a client raises its sequence before it lowers its count, or both at
/// once. Whoever looks in between sees either an open section or a new sequence.
class SequenceBeforeCountMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override {
        return {rmap::Event::kMnEnd, rmap::Event::kClientCount};
    }
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using CpuMm = std::pair<rmap::ActorId, rmap::MmId>;

    ClientCounts clients_;
    /// Clients that have raised their sequence in the END that the CPU is in.
    BoundedMap<CpuMm, std::set<std::uint64_t>> raised_;
};

}  // namespace mmusim::platform
