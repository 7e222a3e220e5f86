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
#include "platform/oracle/rules/range_set.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N17: when a client's invalidate_range returns, its secondary TLBs no longer hold the range.
///
/// What it has submitted is complete, not just posted: the IOMMU has written the wait status of
/// each submission before qi_submit_sync returned, and the devices had nothing in flight through
/// the range when they sent their completions.
///
/// Nothing is left out: in the IOTLB and in the TLB of each device the range is invalidated, under
/// each PASID of the client. A client has the PASIDs for which it submits something, and the
/// devices that have sent it a completion, from then on; so of a client that has never submitted
/// anything nothing is known. Of a range of several pages the IOTLB may keep what lies behind the
/// naturally aligned block that the kernel's own descriptor names (hazard HZ7); the descriptor of a
/// device is that of the smallest aligned block that contains the range. An empty range (hazard
/// HZ16) asks for nothing but the wait.
///
/// A submission is the first descriptor of its operation, type and PASID that the IOMMU has not
/// fetched before; a wait status stands for all descriptors that the unit fetched before the wait
/// descriptor. What the hardware does belongs to the callback of its operation and range.
class CompletedInvalidationMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Id = std::uint64_t;
    /// A device's, or the IOTLB, for one PASID.
    struct Tlb {
        std::uint64_t pasid = 0;
        std::optional<std::uint64_t> device{};

        friend bool operator<(const Tlb& a, const Tlb& b) {
            return std::tie(a.pasid, a.device) < std::tie(b.pasid, b.device);
        }
    };
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
        rmap::Instant time;
        std::vector<Id> submissions{};
        std::optional<rmap::EventRecord> in_flight{};  ///< the first completion that came too early
        std::map<Tlb, RangeSet> invalidated{};

        std::string name() const;
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
    void note_invalidated(const rmap::EventRecord& record, Tlb tlb, rmap::VirtRange range);
    void know(std::uint64_t client, Tlb tlb);
    void judge(const rmap::EventRecord& record, Findings& findings);
    bool has_waited(const rmap::EventRecord& record, const Callback& callback, Findings& findings);
    void judge_tlbs(const rmap::EventRecord& record, const Callback& callback, Findings& findings);

    Id next_ = 1;
    BoundedMap<Id, Submission> submissions_;
    /// Operation, type, PASID, id of what no IOMMU has fetched.
    std::set<std::tuple<rmap::OperationId, std::uint64_t, std::uint64_t, Id>> unfetched_;
    std::map<rmap::ActorId, Unit> units_;
    std::map<rmap::ActorId, Callback> callbacks_;       ///< by CPU
    BoundedMap<std::uint64_t, std::set<Tlb>> clients_;  ///< what each has
};

}  // namespace mmusim::platform
