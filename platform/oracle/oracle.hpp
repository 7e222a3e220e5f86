// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "models/observe/access_record.hpp"
#include "models/observe/event_writer.hpp"
#include "models/observe/settled_stream.hpp"
#include "platform/oracle/flush_history.hpp"
#include "platform/oracle/frame_oracle.hpp"
#include "platform/oracle/hazard_table.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/operation_names.hpp"
#include "platform/oracle/rule_table.hpp"
#include "platform/oracle/secondary_history.hpp"
#include "platform/oracle/verdict.hpp"
#include "platform/oracle/vocabulary.hpp"
#include "platform/oracle/walk_equivalence.hpp"

namespace mmusim::platform {

/// The safety oracle: judges every access through a cached translation, and the ordering rules
/// over the event stream; and notices where the kernel itself breaks one. For an imported trace
/// only on_record() and finish() are called.
class SafetyOracle final : public models::AccessObserver,
                           public models::EventSink,
                           public models::EmissionObserver {
public:
    SafetyOracle(Vocabulary vocabulary, AgentNames names);
    ~SafetyOracle() override;
    SafetyOracle(const SafetyOracle&) = delete;
    SafetyOracle& operator=(const SafetyOracle&) = delete;

    /// For every record at the moment it is emitted, before kernel time passes it: takes the ends
    /// of frame generations from it (order 0), and ignores the rest.
    void emitted(const rmap::EventRecord& record) override {
        if (record.event == rmap::Event::kPageFree)
            end_frame(record, record.arguments[2], FrameEndKind::kFreed);
        else if (record.event == rmap::Event::kPageSealed)
            end_frame(record, record.arguments[1], FrameEndKind::kSealed);
    }

    void judge(rmap::ActorId agent, const models::AccessBatch& uses) override {
        frames_.judge(agent, uses);
    }
    void judge_walks(rmap::ActorId agent, std::uint64_t compared,
                     const std::vector<models::WalkDifference>& differences) override {
        walks_.judge(agent, compared, differences);
    }

    /// The settled stream. Events that no rule asks for cost one look into a table.
    void on_record(const rmap::EventRecord& record) override;

    /// The run is over and everything has been judged and released. Called once. Its rules are the
    /// ordering rules and, if any were compared, equivalence of hits and walks; accesses are
    /// counted in `checked` and found in `violations`.
    OracleReport finish();

private:
    class RuleRunner;
    class HazardRunner;

    void end_frame(const rmap::EventRecord& record, std::uint64_t generation, FrameEndKind kind);
    void subscribe(models::EventSink& sink, const std::vector<rmap::Event>& events);

    const AgentNames names_;
    OperationNames operations_;
    FlushHistory flushes_;
    SecondaryHistory secondary_;
    FrameOracle frames_;
    WalkEquivalence walks_;
    std::vector<std::unique_ptr<RuleRunner>> rules_;
    std::vector<std::unique_ptr<HazardRunner>> hazards_;
    std::array<std::vector<models::EventSink*>, rmap::kEventCount> subscribers_;
    rmap::Instant last_;
};

}  // namespace mmusim::platform
