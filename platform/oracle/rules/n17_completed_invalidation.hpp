// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N17: when a client's invalidate_range returns, what it has submitted is complete, not just
/// posted: the IOMMU has written the wait status of each submission before qi_submit_sync returned,
/// and the devices had nothing in flight through the range when they sent their completions.
///
/// A submission is the first descriptor of its operation, type and PASID that the IOMMU has not
/// fetched before; a wait status stands for all descriptors that the unit fetched before the wait
/// descriptor. A completion belongs to the callback of its operation and range.
class CompletedInvalidationMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Id = std::uint64_t;
    struct Submission {
        std::uint64_t sequence = 0;
        std::uint64_t pasid = 0;
        rmap::VirtRange range{};
        rmap::Instant time;
        bool done = false;
        bool left_early = false;  ///< qi_submit_sync returned before
    };
    struct Callback {
        std::uint64_t client = 0;
        rmap::MmId mm = 0;
        rmap::VirtRange range{};
        rmap::OperationId operation = 0;
        std::vector<Id> submissions;
        std::optional<rmap::EventRecord> in_flight;  ///< the first completion that came too early
    };
    /// One IOMMU.
    struct Unit {
        std::deque<Id> executing;            ///< fetched, not known to be complete
        std::map<std::uint64_t, Id> behind;  ///< by index of a wait descriptor: the last before it
    };

    void submit(const rmap::EventRecord& record);
    void submit_returns(const rmap::EventRecord& record);
    void fetch(const rmap::EventRecord& record);
    void complete(const rmap::EventRecord& record);
    void note_completion(const rmap::EventRecord& record);
    void judge(const rmap::EventRecord& record, Findings& findings);

    Id next_ = 1;
    BoundedMap<Id, Submission> submissions_;
    /// Operation, type, PASID, id of what no IOMMU has fetched.
    std::set<std::tuple<rmap::OperationId, std::uint64_t, std::uint64_t, Id>> unfetched_;
    std::map<rmap::ActorId, Unit> units_;
    std::map<rmap::ActorId, Callback> callbacks_;  ///< by CPU
};

}  // namespace mmusim::platform
