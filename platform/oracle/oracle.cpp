// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/oracle.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

/// A monitor with what it has found.
class SafetyOracle::RuleRunner final : public models::EventSink {
public:
    RuleRunner(const RuleRow& row, Vocabulary vocabulary, const OperationNames& operations)
        : id_(row.id), monitor_(row.make(vocabulary)), operations_(operations) {}

    std::vector<Event> events() const { return monitor_->events(); }

    void on_record(const EventRecord& record) override {
        monitor_->on_record(record, findings_);
        name_operations();
    }

    void finish(rmap::Instant end, const ActorName& actor_name, OracleReport& report) {
        monitor_->finish(end, findings_);
        name_operations();
        report.rules.push_back({id_, findings_.judged(), findings_.violated()});
        report.violations_found += findings_.violated();
        for (Breach& breach : findings_.breaches()) {
            Violation violation;
            violation.rule = id_;
            violation.time = breach.time;
            violation.agent = actor_name(breach.actor);
            violation.operation = breach.operation;
            violation.operation_name = std::move(breach.operation_name);
            violation.translation = std::move(breach.translation);
            violation.missing = std::move(breach.missing);
            violation.window = breach.window;
            report.violations.push_back(std::move(violation));
        }
    }

private:
    /// At once, while the operations are remembered.
    void name_operations() {
        for (auto& breaches = findings_.breaches(); named_ < breaches.size(); ++named_)
            breaches[named_].operation_name = operations_.name(breaches[named_].operation);
    }

    const std::string id_;
    const std::unique_ptr<Monitor> monitor_;
    const OperationNames& operations_;
    Findings findings_;
    std::size_t named_ = 0;
};

/// A hazard with what is known of it.
class SafetyOracle::HazardRunner final : public models::EventSink {
public:
    HazardRunner(const HazardRow& row, Vocabulary vocabulary, const OperationNames& operations)
        : id_(row.id), monitor_(row.make(vocabulary)), operations_(operations) {}

    std::vector<Event> events() const { return monitor_->events(); }

    void on_record(const EventRecord& record) override {
        monitor_->on_record(record, occurrences_);
        if (named_ || occurrences_.count() == 0) return;
        // At once, while the operations are remembered.
        Occurrence& first = occurrences_.first();
        first.operation_name = operations_.name(first.operation);
        named_ = true;
    }

    void finish(const ActorName& actor_name, const FrameOracle& frames, OracleReport& report) {
        const auto uses = frames.hazard_uses().find(id_);
        const bool used = uses != frames.hazard_uses().end();
        if (occurrences_.count() == 0 && !used) return;
        HazardVerdict verdict;
        verdict.id = id_;
        verdict.count = occurrences_.count();
        verdict.total_window = occurrences_.total_window();
        verdict.longest_window = occurrences_.longest_window();
        if (verdict.count > 0) verdict.first = described(occurrences_.first(), actor_name);
        if (used) {
            verdict.wrong_uses = uses->second.count;
            verdict.first_wrong_use = uses->second.first;
        }
        report.hazards.push_back(std::move(verdict));
    }

private:
    static HazardOccurrence described(Occurrence& first, const ActorName& actor_name) {
        return {first.time,
                actor_name(first.actor),
                first.operation,
                std::move(first.operation_name),
                std::move(first.what),
                std::move(first.translation),
                first.window};
    }

    const std::string id_;
    const std::unique_ptr<HazardMonitor> monitor_;
    const OperationNames& operations_;
    Occurrences occurrences_;
    bool named_ = false;
};

SafetyOracle::SafetyOracle(Vocabulary vocabulary, AgentNames names)
    : names_(std::move(names)),
      frames_({flushes_, secondary_}, operations_, names_),
      walks_(operations_, names_) {
    // Names and histories first: whoever follows may ask them about this very record.
    subscribe(operations_, {Event::kOperationBegin, Event::kOperationEnd});
    subscribe(flushes_, FlushHistory::events());
    subscribe(secondary_, SecondaryHistory::events());
    subscribe(walks_, WalkEquivalence::events());
    for (const RuleRow& row : rule_table()) {
        rules_.push_back(std::make_unique<RuleRunner>(row, vocabulary, operations_));
        subscribe(*rules_.back(), rules_.back()->events());
    }
    for (const HazardRow& row : hazard_table()) {
        if (!row.make) continue;
        hazards_.push_back(std::make_unique<HazardRunner>(row, vocabulary, operations_));
        subscribe(*hazards_.back(), hazards_.back()->events());
    }
}

SafetyOracle::~SafetyOracle() = default;

void SafetyOracle::subscribe(models::EventSink& sink, const std::vector<Event>& events) {
    for (const Event event : events) subscribers_[static_cast<std::size_t>(event)].push_back(&sink);
}

void SafetyOracle::end_frame(const EventRecord& record, std::uint64_t generation,
                             FrameEndKind kind) {
    frames_.frame_ended({record.arguments[0]}, {static_cast<rmap::Generation>(generation), kind,
                                                record.time, record.operation});
}

void SafetyOracle::on_record(const EventRecord& record) {
    last_ = record.time;
    frames_.on_record(record);
    for (models::EventSink* sink : subscribers_[static_cast<std::size_t>(record.event)])
        sink->on_record(record);
}

OracleReport SafetyOracle::finish() {
    OracleReport report;
    report.checked = frames_.checked();
    report.violations = frames_.finish();
    auto unequal = walks_.finish();
    report.violations_found = frames_.stale_uses() + frames_.lost_writes() + walks_.violated();
    if (walks_.compared() > 0)
        report.rules.push_back(
            {std::string(kWalkEquivalence), walks_.compared(), walks_.violated()});
    std::move(unequal.begin(), unequal.end(), std::back_inserter(report.violations));
    for (const auto& rule : rules_) rule->finish(last_, names_.actor, report);
    for (const auto& hazard : hazards_) hazard->finish(names_.actor, frames_, report);

    std::stable_sort(report.violations.begin(), report.violations.end(),
                     [](const Violation& a, const Violation& b) {
                         return std::tie(a.time.ps, a.agent) < std::tie(b.time.ps, b.agent);
                     });
    if (report.violations.size() > kMaxViolations) report.violations.resize(kMaxViolations);
    return report;
}

}  // namespace mmusim::platform
