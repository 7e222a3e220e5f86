// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platform/oracle/monitor.hpp"
#include "tests/support/event_stream.hpp"

namespace mmusim::test {

/// What one monitor says about a stream, given only the events that it asks for.
struct Verdict {
    std::uint64_t judged = 0;
    std::uint64_t violated = 0;
    std::vector<platform::Breach> breaches;

    std::string missing() const { return breaches.empty() ? "" : breaches.front().missing; }
};

inline Verdict judge(platform::Monitor& monitor, const EventStream& stream) {
    platform::Findings findings;
    const auto events = monitor.events();
    for (const auto& record : stream.records())
        if (std::find(events.begin(), events.end(), record.event) != events.end())
            monitor.on_record(record, findings);
    monitor.finish(stream.records().empty() ? rmap::Instant{} : stream.records().back().time,
                   findings);
    return {findings.judged(), findings.violated(), findings.breaches()};
}

template <class Rule, class... Arguments>
Verdict judge(const EventStream& stream, const Arguments&... arguments) {
    Rule rule(arguments...);
    return judge(rule, stream);
}

}  // namespace mmusim::test
