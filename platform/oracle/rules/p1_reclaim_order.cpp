// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/p1_reclaim_order.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> ReclaimOrderMonitor::events() const {
    return {Event::kShrinkPageList,   Event::kShrinkPageListRet, Event::kPageRemoveRmap,
            Event::kPageAddAnonRmap,  Event::kPageAddFileRmap,   Event::kRemoveMapping,
            Event::kRemoveMappingRet, Event::kTryToUnmapFlush,   Event::kPageFree};
}

void ReclaimOrderMonitor::on_record(const EventRecord& record, Findings& findings) {
    ++position_;
    const auto& arguments = record.arguments;
    Reclaimer& reclaimer = reclaimers_[record.actor];
    switch (record.event) {
        case Event::kShrinkPageList:
            ++reclaimer.lists;
            break;
        case Event::kShrinkPageListRet:
            if (reclaimer.lists > 0) --reclaimer.lists;
            break;
        case Event::kPageAddAnonRmap:
        case Event::kPageAddFileRmap:
            add_mapping(arguments[0]);
            break;
        case Event::kPageRemoveRmap:
            set_mapcount(arguments[0], arguments[2]);
            break;
        case Event::kRemoveMapping:
            if (reclaimer.lists > 0) begin_removal(record);
            break;
        case Event::kRemoveMappingRet:
            end_removal(record);
            break;
        case Event::kTryToUnmapFlush:
            reclaimer.flushed = position_;
            break;
        case Event::kPageFree:
            judge_free(record, findings);
            mapcounts_.erase(arguments[0]);
            removals_.erase(arguments[0]);
            break;
        default:
            break;
    }
}

void ReclaimOrderMonitor::add_mapping(Frame frame) { ++mapcounts_.at(frame); }

void ReclaimOrderMonitor::set_mapcount(Frame frame, std::uint64_t mapcount) {
    if (mapcount == 0)
        mapcounts_.erase(frame);
    else
        mapcounts_.at(frame) = mapcount;
}

void ReclaimOrderMonitor::begin_removal(const EventRecord& record) {
    const Frame frame = record.arguments[0];
    const std::uint64_t* mapcount = mapcounts_.find(frame);
    removals_.at(frame) = {record.actor, Cache::kLeaving, mapcount ? *mapcount : 0, position_,
                           record.time};
    reclaimers_[record.actor].removing = frame;
}

void ReclaimOrderMonitor::end_removal(const EventRecord& record) {
    const Frame frame = reclaimers_[record.actor].removing;
    Removal* removal = removals_.find(frame);
    if (!removal || removal->actor != record.actor || removal->cache == Cache::kLeft) return;
    if (record.arguments[0] != 1) {
        removals_.erase(frame);
        return;
    }
    removal->cache = Cache::kLeft;
    removal->position = position_;
    removal->time = record.time;
}

void ReclaimOrderMonitor::judge_free(const EventRecord& record, Findings& findings) {
    const Removal* removal = removals_.find(record.arguments[0]);
    const std::uint64_t order = record.arguments[1];
    if (!removal || order > 0) return;
    findings.judge();
    const std::string page = "pfn " + hex(record.arguments[0]);
    const std::string frame = fmt::format("{} gen {}", page, record.arguments[2]);
    if (removal->mapcount > 0)
        findings.breach(
            record, fmt::format("{} left its cache with {} mappings left", page, removal->mapcount),
            removal->time, frame);
    else if (removal->cache == Cache::kLeaving)
        findings.breach(record, page + " was freed before it had left its cache", removal->time,
                        frame);
    else if (reclaimers_[removal->actor].flushed < removal->position)
        findings.breach(record, page + " was freed before try_to_unmap_flush", removal->time,
                        frame);
}

}  // namespace mmusim::platform
