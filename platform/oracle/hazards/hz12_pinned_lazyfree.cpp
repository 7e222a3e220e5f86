// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz12_pinned_lazyfree.hpp"

#include <fmt/format.h>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> PinnedLazyfreeMonitor::events() const {
    return united({clear_events(), {Event::kPageRefFreeze}});
}

void PinnedLazyfreeMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    if (is_clear(record.event)) {
        cleared_[record.actor] = record;
        return;
    }
    const auto& [pfn, count, ret, unused1, unused2, unused3] = record.arguments;
    static_cast<void>(unused1), static_cast<void>(unused2), static_cast<void>(unused3);
    if (count != 1 || ret != 0) return;
    const auto found = cleared_.find(record.actor);
    if (found == cleared_.end() || found->second.arguments[4] != pfn) return;
    const EventRecord& clear = found->second;
    occurrences.add(record, rmap::time_until(clear.time, record.time), [&](Occurrence& first) {
        first.what =
            fmt::format("mm {} va {} lost pfn {}, to which somebody holds a reference",
                        clear.arguments[0], hex(clear.arguments[1]), hex(clear.arguments[4]));
        first.translation = cleared_translation(clear);
    });
}

}  // namespace mmusim::platform
