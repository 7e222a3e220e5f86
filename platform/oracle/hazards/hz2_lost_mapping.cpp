// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz2_lost_mapping.hpp"

#include <fmt/format.h>

#include "platform/oracle/hazards/store_events.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> LostMappingMonitor::events() const {
    return united({clear_events(),
                   store_events(),
                   {Event::kTryToUnmapOne, Event::kPageRemoveRmap, Event::kTryToUnmapOneRet}});
}

void LostMappingMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    if (record.event == Event::kTryToUnmapOne) {
        visits_[record.actor].reset();
        return;
    }
    const auto visit = visits_.find(record.actor);
    if (visit == visits_.end()) return;
    auto& cleared = visit->second;
    if (is_clear(record.event)) {
        cleared = record;
    } else if (record.event != Event::kTryToUnmapOneRet) {
        cleared.reset();
    } else {
        if (cleared)
            occurrences.add(*cleared, {}, [&](Occurrence& first) {
                const auto [mm, address, ptep, pte, pfn, generation] =
                    rmap::leading<6>(cleared->arguments);
                static_cast<void>(ptep), static_cast<void>(pte), static_cast<void>(generation);
                first.what = fmt::format("mm {} va {} lost pfn {}, which still counts the mapping",
                                         mm, hex(address), hex(pfn));
                first.translation = cleared_translation(*cleared);
            });
        visits_.erase(visit);
    }
}

}  // namespace mmusim::platform
