// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "platform/oracle/hazard_monitor.hpp"
#include "tests/support/event_stream.hpp"

namespace mmusim::test {

/// What the monitor of one hazard notices in a stream, an EventStream or a RecordingTrace, given
/// only the events that it asks for.
template <class Hazard, class Stream, class... Arguments>
platform::Occurrences occurrences(const Stream& stream, const Arguments&... arguments) {
    Hazard hazard(arguments...);
    platform::Occurrences found;
    const auto events = hazard.events();
    for (const auto& record : stream.records())
        if (std::find(events.begin(), events.end(), record.event) != events.end())
            hazard.on_record(record, found);
    return found;
}

}  // namespace mmusim::test
