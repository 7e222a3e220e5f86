// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz2_lost_mapping.hpp"

#include <fmt/format.h>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> LostMappingMonitor::events() const {
    return united({clear_events(), {Event::kSwapSlotMissingWarning}});
}

void LostMappingMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    if (is_clear(record.event)) {
        cleared_[record.actor] = record;
        return;
    }
    occurrences.add(record, {}, [&](Occurrence& first) {
        const auto& [pfn, mm, address, unused1, unused2, unused3] = record.arguments;
        static_cast<void>(unused1), static_cast<void>(unused2), static_cast<void>(unused3);
        first.what = fmt::format("mm {} va {} lost pfn {}, which still counts this mapping", mm,
                                 hex(address), hex(pfn));
        const auto cleared = cleared_.find(record.actor);
        if (cleared != cleared_.end() && cleared->second.arguments[4] == pfn)
            first.translation = cleared_translation(cleared->second);
    });
}

}  // namespace mmusim::platform
