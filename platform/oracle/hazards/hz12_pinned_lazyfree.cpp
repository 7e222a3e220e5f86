// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz12_pinned_lazyfree.hpp"

#include <fmt/format.h>

#include "platform/oracle/hazards/store_events.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> PinnedLazyfreeMonitor::events() const {
    return united(
        {clear_events(),
         store_events(),
         {Event::kShrinkPageList, Event::kTryToUnmap, Event::kRmapWalkAnon, Event::kPageRemoveRmap,
          Event::kTryToUnmapRet, Event::kPageFree, Event::kShrinkPageListRet}});
}

void PinnedLazyfreeMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    const auto& arguments = record.arguments;
    if (record.event == Event::kPageFree) {
        for (auto& [cpu, list] : lists_) list.discarded.erase(arguments[0]);
        return;
    }
    if (record.event == Event::kShrinkPageList) {
        lists_[record.actor] = {};
        return;
    }
    const auto it = lists_.find(record.actor);
    if (it == lists_.end()) return;
    auto& [unmap, discarded] = it->second;
    if (record.event == Event::kShrinkPageListRet) {
        finish_list(record, occurrences);
    } else if (record.event == Event::kTryToUnmap) {
        unmap = Unmap{arguments[0]};
    } else if (record.event == Event::kTryToUnmapRet) {
        const bool unmapped = arguments[0] != 0;
        if (unmap && unmap->discarded && unmapped) discarded[unmap->pfn] = *unmap->discarded;
        unmap.reset();
    } else if (unmap) {
        advance(*unmap, record);
    }
}

void PinnedLazyfreeMonitor::advance(Unmap& unmap, const EventRecord& record) {
    if (record.event == Event::kRmapWalkAnon) {
        unmap.anon = true;
    } else if (is_clear(record.event)) {
        unmap.cleared = record;
    } else {
        const bool uncounted = record.event == Event::kPageRemoveRmap;
        if (uncounted && unmap.anon && unmap.cleared) unmap.discarded = unmap.cleared;
        unmap.cleared.reset();
    }
}

void PinnedLazyfreeMonitor::finish_list(const EventRecord& record, Occurrences& occurrences) {
    for (const auto& page : lists_.at(record.actor).discarded) {
        const EventRecord& clear = page.second;
        occurrences.add(clear, rmap::time_until(clear.time, record.time), [&](Occurrence& first) {
            first.what =
                fmt::format("mm {} va {} lost pfn {}, to which somebody holds a reference",
                            clear.arguments[0], hex(clear.arguments[1]), hex(clear.arguments[4]));
            first.translation = cleared_translation(clear);
        });
    }
    lists_.erase(record.actor);
}

}  // namespace mmusim::platform
