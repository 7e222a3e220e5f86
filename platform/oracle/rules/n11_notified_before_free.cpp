// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n11_notified_before_free.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/oracle/rules/clear_events.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> NotifiedBeforeFreeMonitor::events() const {
    return united({UnnotifiedClears::events(),
                   {Event::kPteSetSwap, Event::kPtlUnlock, Event::kPageVmaMappedWalk,
                    Event::kTryToUnmapOneRet, Event::kPageFree}});
}

void NotifiedBeforeFreeMonitor::on_record(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    const auto swapped = swapped_.find(record.actor);
    const bool held = swapped != swapped_.end();
    if (is_clear(record.event)) {
        drop_lock(record, findings);
        if (clears_.has_notifiers(arguments[0])) swapped_[record.actor] = {record, false, false};
    }
    switch (record.event) {
        case Event::kPteSetSwap:
            if (held && swapped->second.clear.arguments[0] == arguments[0] &&
                swapped->second.clear.arguments[1] == arguments[1])
                swapped->second.swap_entry = true;
            break;
        case Event::kMnInvalidateRange:
            if (held && swapped->second.clear.arguments[0] == section_mm(record) &&
                section_range(record).contains({swapped->second.clear.arguments[1]}))
                swapped->second.notified = true;
            break;
        case Event::kPtlUnlock:
        case Event::kPageVmaMappedWalk:
        case Event::kTryToUnmapOneRet:
        case Event::kMnEnd:
            drop_lock(record, findings);
            break;
        case Event::kPageFree:
            judge_free(record, findings);
            break;
        default:
            break;
    }
    clears_.on_record(record);
}

void NotifiedBeforeFreeMonitor::drop_lock(const EventRecord& record, Findings& findings) {
    const auto it = swapped_.find(record.actor);
    if (it == swapped_.end()) return;
    const Swapped swapped = it->second;
    swapped_.erase(it);
    if (!swapped.swap_entry) return;
    findings.judge();
    if (swapped.notified) return;
    findings.breach(record,
                    fmt::format("no invalidate_range for mm {} va {} between its clear at {} and "
                                "the unlock of the page table",
                                swapped.clear.arguments[0], hex(swapped.clear.arguments[1]),
                                text(swapped.clear.time)),
                    swapped.clear.time, cleared_translation(swapped.clear));
}

void NotifiedBeforeFreeMonitor::judge_free(const EventRecord& record, Findings& findings) {
    const rmap::FrameNumber frame{record.arguments[0]};
    const std::uint64_t order = record.arguments[1];
    const auto clears = clears_.of(frame, order);
    clears_.forget(frame, order);
    if (clears.empty()) return;
    findings.judge();
    const auto silent = std::find_if(clears.begin(), clears.end(),
                                     [](const auto& clear) { return !clear.notified; });
    if (silent == clears.end()) return;
    const EventRecord& clear = silent->record;
    findings.breach(record,
                    fmt::format("pfn {} was freed before any invalidate_range for mm {} va {}, "
                                "which was cleared at {}",
                                hex(clear.arguments[4]), clear.arguments[0],
                                hex(clear.arguments[1]), text(clear.time)),
                    clear.time, cleared_translation(clear));
}

}  // namespace mmusim::platform
