// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "platform/oracle/verdict.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// One breach of an ordering rule.
struct Breach {
    rmap::Instant time;
    rmap::ActorId actor = rmap::kNoActor;
    rmap::OperationId operation = 0;  ///< the one that broke the rule
    std::string operation_name;       ///< filled in by the oracle
    std::string translation;          ///< that it leaves behind, where the rule is about one
    std::string missing;              ///< what should have happened, or happened too early
    rmap::Duration window;            ///< since when it was wrong
};

/// What one monitor has found. Counts everything and keeps the first kMaxViolations breaches.
class Findings {
public:
    /// A situation in which the rule applies was looked at.
    void judge() { ++judged_; }

    /// The situation broke the rule: the record that shows it, and since when it was wrong.
    void breach(const rmap::EventRecord& record, std::string missing, rmap::Instant since,
                std::string translation = {}) {
        Breach breach;
        breach.time = record.time;
        breach.actor = record.actor;
        breach.operation = record.operation;
        breach.translation = std::move(translation);
        breach.missing = std::move(missing);
        breach.window = rmap::time_until(since, record.time);
        add(std::move(breach));
    }
    void add(Breach breach) {
        ++violated_;
        if (breaches_.size() < kMaxViolations) breaches_.push_back(std::move(breach));
    }

    std::uint64_t judged() const { return judged_; }
    std::uint64_t violated() const { return violated_; }
    std::vector<Breach>& breaches() { return breaches_; }

private:
    std::uint64_t judged_ = 0;
    std::uint64_t violated_ = 0;
    std::vector<Breach> breaches_;
};

/// Judges one ordering rule over the event stream, from the records of events.def alone. Needs
/// bounded memory and O(log n) per record, and does not miss events that its stream cannot show.
class Monitor {
public:
    virtual ~Monitor() = default;

    /// The events it wants, each once; it is called for no other.
    virtual std::vector<rmap::Event> events() const = 0;

    virtual void on_record(const rmap::EventRecord& record, Findings& findings) = 0;

    /// The stream is over; `end` is the time of its last record.
    virtual void finish(rmap::Instant end, Findings& findings);
};

inline void Monitor::finish(rmap::Instant, Findings&) {}

/// All of them, each once: for a monitor that hands its records on to what it is made of.
inline std::vector<rmap::Event> united(const std::vector<std::vector<rmap::Event>>& lists) {
    std::vector<rmap::Event> result;
    for (const auto& list : lists) result.insert(result.end(), list.begin(), list.end());
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
}

}  // namespace mmusim::platform
