// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ14: in flush_tlb_others the initiator runs its own remote callback, after the other CPUs are
/// done. It has flushed before, so the callback finds nothing to do, unless another flush has
/// raised tlb_gen meanwhile. The window is the time it takes.
///
/// It has the request and the operation of the round. Interrupts that come meanwhile run callbacks
/// of other operations. A capture names no operations: there a batch flush of another CPU, whose
/// request looks the same, counts as well.
class OwnCallbackMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    using Request = std::array<std::uint64_t, 4>;  ///< mm, start, end, generation
    struct Round {
        Request request{};
        rmap::OperationId operation = 0;
        std::optional<rmap::EventRecord> callback{};
    };

    static void count(const Round& round, rmap::Instant end, Occurrences& occurrences);

    std::map<rmap::ActorId, Round> rounds_;  ///< by initiator
};

}  // namespace mmusim::platform
