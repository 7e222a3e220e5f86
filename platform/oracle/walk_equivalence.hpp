// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "models/observe/access_record.hpp"
#include "models/observe/settled_stream.hpp"
#include "platform/oracle/diagnosis.hpp"
#include "platform/oracle/frame_oracle.hpp"
#include "platform/oracle/operation_names.hpp"
#include "platform/oracle/recent.hpp"
#include "platform/oracle/verdict.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

inline constexpr std::string_view kWalkEquivalence = "walk-equivalence";

/// A hit equals what a walk through no cache would return, or a change is still legally in flight:
/// somebody is in the middle of an operation or page fault that changes the PTE, at the end of
/// which everything that it changed has been flushed. Judges the differences that cores have found,
/// with hindsight, since the event of a change follows it. An entry that an earlier change left
/// behind is legal again while the next one is under way.
class WalkEquivalence final : public models::EventSink {
public:
    static constexpr std::size_t kKept = 65536;  ///< changes

    WalkEquivalence(const OperationNames& operations, AgentNames names);

    static const std::vector<rmap::Event>& events();
    void on_record(const rmap::EventRecord& record) override;

    void judge(rmap::ActorId agent, std::uint64_t compared,
               const std::vector<models::WalkDifference>& differences);

    /// Judges the rest. At most kMaxViolations, in order of (time, agent), one per agent, address
    /// space and page.
    std::vector<Violation> finish();

    std::uint64_t compared() const { return compared_; }  ///< accesses
    std::uint64_t violated() const { return violated_; }  ///< all, also the repeated ones

private:
    using Order = std::tuple<std::uint64_t, rmap::ActorId, std::uint64_t>;  ///< ps, agent, page
    using Page = std::tuple<rmap::ActorId, rmap::MmId, std::uint64_t>;      ///< by agent

    /// Somebody changed a PTE.
    struct Change {
        rmap::Instant time;
        rmap::ActorId actor = rmap::kNoActor;
        rmap::OperationId operation = 0;
        rmap::MmId mm = 0;
        rmap::PageNumber page{};
        rmap::Instant begun;                ///< when the outermost of what it is part of began
        rmap::Instant over = rmap::kNever;  ///< when that ended; kNever while it has not
        std::uint64_t position = 0;
    };
    /// What an actor is doing.
    struct Open {
        unsigned depth = 0;                  ///< operations and page faults, one in the other
        rmap::Instant begun;                 ///< of the outermost
        std::vector<std::uint64_t> changes;  ///< positions, since then
    };

    void add_change(const rmap::EventRecord& record);
    void begin(const rmap::EventRecord& record);
    void end(const rmap::EventRecord& record);
    void judge_until(rmap::Instant time);
    void judge_now(const Order& order, const models::WalkDifference& difference);
    /// The one that is in flight or, if none is, the last.
    const Change* change_for(const models::AccessRecord& use) const;

    const OperationNames& operations_;
    const AgentNames names_;
    Recent<Change> changes_{kKept};
    std::uint64_t position_ = 0;  ///< of the last change, from 1
    std::unordered_map<rmap::ActorId, Open> open_;
    std::map<Order, models::WalkDifference> waiting_;
    std::map<Order, Violation> violations_;
    std::map<Page, std::uint64_t> uses_;  ///< wrong ones
    std::uint64_t compared_ = 0;
    std::uint64_t violated_ = 0;
};

}  // namespace mmusim::platform
