// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz13_missed_mapping.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> MissedMappingMonitor::events() const {
    return united({clear_events(),
                   {Event::kTryToUnmap, Event::kTryToUnmapRet, Event::kPageVmaMappedWalk,
                    Event::kPageVmaMappedWalkRet, Event::kPtlLock, Event::kPageRemoveRmap}});
}

void MissedMappingMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    if (!watches_) return;
    if (is_clear(record.event)) {
        removals_[record.actor] = {record};
        return;
    }
    switch (record.event) {
        case Event::kTryToUnmap:
            unmaps_[record.actor] = {record.arguments[0]};
            break;
        case Event::kPageVmaMappedWalk:
            walk(record);
            break;
        case Event::kPtlLock:
            if (const auto it = unmaps_.find(record.actor); it != unmaps_.end())
                it->second.walking = false;
            break;
        case Event::kPageVmaMappedWalkRet:
            walk_returns(record);
            break;
        case Event::kTryToUnmapRet:
            unmap_returns(record);
            break;
        default:
            uncount(record, occurrences);
            break;
    }
}

/// A walk that goes on after a hit has been under the lock.
void MissedMappingMonitor::walk(const EventRecord& record) {
    const auto it = unmaps_.find(record.actor);
    if (it == unmaps_.end()) return;
    const auto [pfn, mm, address, ptep, unused1, unused2] = rmap::leading<6>(record.arguments);
    static_cast<void>(pfn), static_cast<void>(unused1), static_cast<void>(unused2);
    it->second.walking = ptep == 0;
    it->second.looks_at = {mm, address};
}

void MissedMappingMonitor::walk_returns(const EventRecord& record) {
    const auto it = unmaps_.find(record.actor);
    if (it == unmaps_.end()) return;
    Unmap& unmap = it->second;
    if (unmap.walking) unmap.passed.push_back(unmap.looks_at);
    unmap.walking = false;
}

void MissedMappingMonitor::unmap_returns(const EventRecord& record) {
    const auto it = unmaps_.find(record.actor);
    if (it == unmaps_.end()) return;
    const Unmap unmap = std::move(it->second);
    unmaps_.erase(it);
    if (record.arguments[0] != 0) return;
    for (auto& [cpu, removal] : removals_) {
        const auto& clear = removal.clear.arguments;
        if (cpu == record.actor || clear[4] != unmap.pfn) continue;
        const auto is_there = [&](const Place& place) {
            return place.mm == clear[0] && place.address == clear[1];
        };
        if (std::any_of(unmap.passed.begin(), unmap.passed.end(), is_there))
            removal.failure = record;
    }
}

void MissedMappingMonitor::uncount(const EventRecord& record, Occurrences& occurrences) {
    const auto it = removals_.find(record.actor);
    if (it == removals_.end() || it->second.clear.arguments[4] != record.arguments[0]) return;
    const Removal removal = it->second;
    removals_.erase(it);
    const std::uint64_t mapcount = record.arguments[2];
    if (!removal.failure || mapcount != 0) return;
    const EventRecord& failure = *removal.failure;
    occurrences.add(failure, rmap::time_until(failure.time, record.time), [&](Occurrence& first) {
        first.what = fmt::format(
            "try_to_unmap of pfn {} failed; its last mapping was cleared at {} and counted until "
            "{}",
            hex(record.arguments[0]), text(removal.clear.time), text(record.time));
        first.translation = cleared_translation(removal.clear);
    });
}

}  // namespace mmusim::platform
