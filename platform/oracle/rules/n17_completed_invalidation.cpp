// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n17_completed_invalidation.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::VirtRange;

std::vector<Event> CompletedInvalidationMonitor::events() const {
    return {Event::kClientInvalidate,
            Event::kClientInvalidateRet,
            Event::kQiSubmit,
            Event::kQiSubmitRet,
            Event::kIommuDescriptor,
            Event::kIommuWaitDone,
            Event::kAtsInvalidateCompletion};
}

void CompletedInvalidationMonitor::on_record(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kClientInvalidate:
            callbacks_[record.actor] = {
                arguments[0],     arguments[1], {{arguments[2]}, {arguments[3]}},
                record.operation, {},           {}};
            break;
        case Event::kQiSubmit:
            submit(record);
            break;
        case Event::kQiSubmitRet:
            submit_returns(record);
            break;
        case Event::kIommuDescriptor:
            fetch(record);
            break;
        case Event::kIommuWaitDone:
            complete(record);
            break;
        case Event::kAtsInvalidateCompletion:
            note_completion(record);
            break;
        default:
            judge(record, findings);
            break;
    }
}

void CompletedInvalidationMonitor::submit(const EventRecord& record) {
    const auto& [sequence, type, pasid, start, end, unused] = record.arguments;
    static_cast<void>(unused);
    const Id id = next_++;
    submissions_.at(id) = {sequence, pasid, {{start}, {end}}, record.time, false, false};
    unfetched_.emplace(record.operation, type, pasid, id);
    if (unfetched_.size() > kMonitorCapacity) unfetched_.erase(unfetched_.begin());
    const auto callback = callbacks_.find(record.actor);
    if (callback == callbacks_.end()) return;
    if (callback->second.submissions.size() < kMonitorCapacity)
        callback->second.submissions.push_back(id);
}

void CompletedInvalidationMonitor::submit_returns(const EventRecord& record) {
    const auto callback = callbacks_.find(record.actor);
    if (callback == callbacks_.end()) return;
    const auto& ids = callback->second.submissions;
    for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
        Submission* submission = submissions_.find(*id);
        if (!submission || submission->sequence != record.arguments[0]) continue;
        submission->left_early = !submission->done;
        return;
    }
}

void CompletedInvalidationMonitor::fetch(const EventRecord& record) {
    const auto& [index, type, pasid, start, end, unused] = record.arguments;
    static_cast<void>(start), static_cast<void>(end), static_cast<void>(unused);
    Unit& unit = units_[record.actor];
    if (type == static_cast<std::uint64_t>(rmap::QiType::kInvalidationWait)) {
        unit.behind[index] = unit.executing.empty() ? 0 : unit.executing.back();
        if (unit.behind.size() > kMonitorCapacity) unit.behind.erase(unit.behind.begin());
        return;
    }
    const auto it = unfetched_.lower_bound({record.operation, type, pasid, 0});
    if (it == unfetched_.end() || std::get<0>(*it) != record.operation ||
        std::get<1>(*it) != type || std::get<2>(*it) != pasid)
        return;
    unit.executing.push_back(std::get<3>(*it));
    if (unit.executing.size() > kMonitorCapacity) unit.executing.pop_front();
    unfetched_.erase(it);
}

/// The descriptors before the wait are a prefix of what the unit executes: it fetches in order.
void CompletedInvalidationMonitor::complete(const EventRecord& record) {
    Unit& unit = units_[record.actor];
    const auto behind = unit.behind.find(record.arguments[0]);
    if (behind == unit.behind.end()) return;
    const Id last = behind->second;
    unit.behind.erase(behind);
    if (last == 0) return;
    for (bool more = true; more && !unit.executing.empty();) {
        const Id id = unit.executing.front();
        unit.executing.pop_front();
        if (Submission* submission = submissions_.find(id)) submission->done = true;
        more = id != last;
    }
}

void CompletedInvalidationMonitor::note_completion(const EventRecord& record) {
    const auto& [device, pasid, start, end, in_flight, unused] = record.arguments;
    static_cast<void>(device), static_cast<void>(pasid), static_cast<void>(unused);
    if (in_flight == 0) return;
    for (auto& [cpu, callback] : callbacks_)
        if (callback.operation == record.operation && !callback.in_flight &&
            callback.range.overlaps(VirtRange{{start}, {end}}))
            callback.in_flight = record;
}

void CompletedInvalidationMonitor::judge(const EventRecord& record, Findings& findings) {
    const auto it = callbacks_.find(record.actor);
    if (it == callbacks_.end()) return;
    const Callback callback = std::move(it->second);
    callbacks_.erase(it);
    if (callback.submissions.empty()) return;
    findings.judge();
    const std::string name = fmt::format("client {}'s invalidate_range of mm {} {}",
                                         callback.client, callback.mm, text(callback.range));
    for (const Id id : callback.submissions) {
        const Submission* submission = submissions_.find(id);
        if (!submission || (submission->done && !submission->left_early)) continue;
        findings.breach(
            record,
            fmt::format("{} did not wait for its submission {} of pasid {} {}", name,
                        submission->sequence, submission->pasid, text(submission->range)),
            submission->time);
        return;
    }
    if (!callback.in_flight) return;
    const auto& arguments = callback.in_flight->arguments;
    findings.breach(record,
                    fmt::format("{} relied on the completion of device {} at {} for {}, sent with "
                                "{} accesses in flight",
                                name, hex(arguments[0]), text(callback.in_flight->time),
                                text(VirtRange{{arguments[2]}, {arguments[3]}}), arguments[4]),
                    callback.in_flight->time);
}

}  // namespace mmusim::platform
