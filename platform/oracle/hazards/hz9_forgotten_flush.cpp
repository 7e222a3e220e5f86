// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz9_forgotten_flush.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/oracle/monitor.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> ForgottenFlushMonitor::events() const {
    return united({DeferredClears::events(),
                   {Event::kPtlLock, Event::kPtlUnlock, Event::kTlbFlushBatchedClear,
                    Event::kFlushTlbBatchedPending, Event::kPageFree}});
}

void ForgottenFlushMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    clears_.on_record(record);
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kPtlLock:
            held_[record.actor].push_back(arguments[0]);
            break;
        case Event::kPtlUnlock:
            unlock(record);
            break;
        case Event::kPteClearDefer:
            if (const auto& held = held_[record.actor]; !held.empty())
                table_of_.at({arguments[0], arguments[1]}) = held.back();
            break;
        case Event::kTlbFlushBatchedClear:
            taken_back_.at(arguments[0]) = record;
            break;
        case Event::kFlushTlbBatchedPending:
            if (arguments[1] == 0) judge(record, occurrences);
            break;
        case Event::kPageFree:
            clears_.forget({arguments[0]});
            break;
        default:
            break;
    }
}

void ForgottenFlushMonitor::unlock(const EventRecord& record) {
    auto& held = held_[record.actor];
    const auto it = std::find(held.begin(), held.end(), record.arguments[0]);
    if (it != held.end()) held.erase(it);
}

bool ForgottenFlushMonitor::holds(rmap::ActorId cpu, Lock lock) const {
    const auto it = held_.find(cpu);
    return it != held_.end() &&
           std::find(it->second.begin(), it->second.end(), lock) != it->second.end();
}

void ForgottenFlushMonitor::judge(const EventRecord& record, Occurrences& occurrences) {
    const rmap::MmId mm = record.arguments[0];
    const EventRecord* taken_back = taken_back_.find(mm);
    if (!taken_back) return;
    for (const DeferredClear& clear : clears_.owed(mm)) {
        const Lock* table = table_of_.find({mm, clear.address.value});
        if (clear.time > taken_back->time || !table || !holds(record.actor, *table)) continue;
        const rmap::Duration window = rmap::time_until(taken_back->time, record.time);
        occurrences.add(record, window, [&](Occurrence& first) {
            first.what = fmt::format("{}; tlb_flush_batched was taken back at {}", describe(clear),
                                     text(taken_back->time));
            first.translation = translation_text(clear);
        });
        return;
    }
}

}  // namespace mmusim::platform
