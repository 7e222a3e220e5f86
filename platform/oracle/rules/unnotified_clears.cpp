// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/unnotified_clears.hpp"

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::FrameNumber;
using rmap::MmId;
using rmap::VirtRange;

std::vector<Event> UnnotifiedClears::events() {
    return united({NotifiedMms::events(),
                   {Event::kPtepClearFlush, Event::kPteClear, Event::kPteClearDefer,
                    Event::kPteRestore, Event::kMnEndRet}});
}

void UnnotifiedClears::on_record(const EventRecord& record) {
    mms_.on_record(record);
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kPtepClearFlush:
        case Event::kPteClear:
        case Event::kPteClearDefer:
            if (rmap::Pte{arguments[3]}.present() && mms_.has(arguments[0])) add(record);
            break;
        case Event::kPteRestore:
            notify(arguments[0], {{arguments[1]}, {arguments[1] + 1}}, next_);
            break;
        case Event::kMnInvalidateRange:
            notify(section_mm(record), section_range(record), next_);
            break;
        case Event::kMnEnd:
            ends_[record.actor] = {next_, arguments[3] == 0};
            break;
        case Event::kMnEndRet:
            if (const auto end = ends_.find(record.actor); end != ends_.end()) {
                if (end->second.with_invalidate)
                    notify(section_mm(record), section_range(record), end->second.before);
                ends_.erase(end);
            }
            break;
        default:
            break;
    }
}

void UnnotifiedClears::add(const EventRecord& record) {
    const Id id = next_++;
    clears_.emplace(id, NotifiableClear{record, false});
    by_frame_.emplace(record.arguments[4], id);
    unnotified_.emplace(record.arguments[0], record.arguments[1], id);
    if (clears_.size() > kMonitorCapacity) erase(clears_.begin()->first);
}

void UnnotifiedClears::notify(MmId mm, VirtRange range, Id before) {
    for (auto it = unnotified_.lower_bound({mm, range.start.value, 0});
         it != unnotified_.end() && std::get<0>(*it) == mm && std::get<1>(*it) < range.end.value;) {
        const Id id = std::get<2>(*it);
        if (id >= before) {
            ++it;
            continue;
        }
        clears_.at(id).notified = true;
        it = unnotified_.erase(it);
    }
}

void UnnotifiedClears::erase(Id id) {
    const auto& arguments = clears_.at(id).record.arguments;
    unnotified_.erase({arguments[0], arguments[1], id});
    by_frame_.erase({arguments[4], id});
    clears_.erase(id);
}

std::vector<NotifiableClear> UnnotifiedClears::of(FrameNumber frame, std::uint64_t order) const {
    std::vector<NotifiableClear> result;
    const std::uint64_t end = frame.value + (std::uint64_t{1} << order);
    for (auto it = by_frame_.lower_bound({frame.value, 0});
         it != by_frame_.end() && it->first < end; ++it)
        result.push_back(clears_.at(it->second));
    return result;
}

std::optional<NotifiableClear> UnnotifiedClears::first(MmId mm, VirtRange range,
                                                       rmap::ActorId actor, Id since) const {
    for (auto it = unnotified_.lower_bound({mm, range.start.value, 0});
         it != unnotified_.end() && std::get<0>(*it) == mm && std::get<1>(*it) < range.end.value;
         ++it) {
        const NotifiableClear& clear = clears_.at(std::get<2>(*it));
        if (std::get<2>(*it) >= since && clear.record.actor == actor) return clear;
    }
    return std::nullopt;
}

void UnnotifiedClears::forget(FrameNumber frame, std::uint64_t order) {
    const std::uint64_t end = frame.value + (std::uint64_t{1} << order);
    for (auto it = by_frame_.lower_bound({frame.value, 0});
         it != by_frame_.end() && it->first < end;)
        erase((it++)->second);
}

}  // namespace mmusim::platform
