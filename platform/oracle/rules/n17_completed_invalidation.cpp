// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n17_completed_invalidation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/oracle/hazards/hz7_unaligned_iotlb.hpp"
#include "platform/report/event_text.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::VirtRange;

namespace {

/// What the IOTLB must not keep; what the kernel itself misses is hazard HZ7.
VirtRange required_of_iotlb(VirtRange range) {
    return {range.start, std::min(range.end, svm_iotlb_block(range).end)};
}

}  // namespace

std::vector<Event> CompletedInvalidationMonitor::events() const {
    return {Event::kClientInvalidate, Event::kClientInvalidateRet,    Event::kQiSubmit,
            Event::kQiSubmitRet,      Event::kIommuDescriptor,        Event::kIommuWaitDone,
            Event::kIotlbInvalidated, Event::kAtsInvalidateCompletion};
}

std::string CompletedInvalidationMonitor::Callback::name() const {
    return fmt::format("client {}'s invalidate_range of mm {} {}", client, mm, text(range));
}

void CompletedInvalidationMonitor::on_record(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kClientInvalidate:
            callbacks_[record.actor] = {arguments[0], arguments[1], range_at(record, 2),
                                        record.operation, record.time};
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
        case Event::kIotlbInvalidated:
            note_invalidated(record, {arguments[0], {}}, range_at(record, 1));
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
    const auto [sequence, type, pasid, start, end, unused] = rmap::leading<6>(record.arguments);
    static_cast<void>(unused);
    const Id id = next_++;
    submissions_.at(id) = {sequence, pasid, {{start}, {end}}, record.time, false, false};
    unfetched_.emplace(record.operation, type, pasid, id);
    if (unfetched_.size() > kMonitorCapacity) unfetched_.erase(unfetched_.begin());
    const auto callback = callbacks_.find(record.actor);
    if (callback == callbacks_.end()) return;
    know(callback->second.client, {pasid, {}});
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
    const auto [index, type, pasid, start, end, unused] = rmap::leading<6>(record.arguments);
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
    const auto [device, pasid, start, end, in_flight, unused] = rmap::leading<6>(record.arguments);
    static_cast<void>(unused);
    const VirtRange range{{start}, {end}};
    note_invalidated(record, {pasid, device}, range);
    if (in_flight == 0) return;
    for (auto& [cpu, callback] : callbacks_)
        if (callback.operation == record.operation && !callback.in_flight &&
            callback.range.overlaps(range))
            callback.in_flight = record;
}

void CompletedInvalidationMonitor::note_invalidated(const EventRecord& record, Tlb tlb,
                                                    VirtRange range) {
    for (auto& [cpu, callback] : callbacks_) {
        if (callback.operation != record.operation || !callback.range.overlaps(range)) continue;
        if (callback.invalidated.size() < kMonitorCapacity) callback.invalidated[tlb].add(range);
        if (tlb.device) know(callback.client, tlb);
    }
}

void CompletedInvalidationMonitor::know(std::uint64_t client, Tlb tlb) {
    auto& tlbs = clients_.at(client);
    if (tlbs.size() < kMonitorCapacity) tlbs.insert(tlb);
}

void CompletedInvalidationMonitor::judge(const EventRecord& record, Findings& findings) {
    const auto it = callbacks_.find(record.actor);
    if (it == callbacks_.end()) return;
    const Callback callback = std::move(it->second);
    callbacks_.erase(it);
    if (!clients_.find(callback.client)) return;
    findings.judge();
    if (has_waited(record, callback, findings)) judge_tlbs(record, callback, findings);
}

/// Breaches the rule if not.
bool CompletedInvalidationMonitor::has_waited(const EventRecord& record, const Callback& callback,
                                              Findings& findings) {
    for (const Id id : callback.submissions) {
        const Submission* submission = submissions_.find(id);
        if (!submission || (submission->done && !submission->left_early)) continue;
        findings.breach(
            record,
            fmt::format("{} did not wait for its submission {} of pasid {} {}", callback.name(),
                        submission->sequence, submission->pasid, text(submission->range)),
            submission->time);
        return false;
    }
    if (!callback.in_flight) return true;
    const auto& arguments = callback.in_flight->arguments;
    findings.breach(record,
                    fmt::format("{} relied on the completion of device {} at {} for {}, sent with "
                                "{} accesses in flight",
                                callback.name(), hex(arguments[0]), text(callback.in_flight->time),
                                text(range_at(*callback.in_flight, 2)), arguments[4]),
                    callback.in_flight->time);
    return false;
}

void CompletedInvalidationMonitor::judge_tlbs(const EventRecord& record, const Callback& callback,
                                              Findings& findings) {
    if (callback.range.start == callback.range.end) return;
    for (const Tlb& tlb : *clients_.find(callback.client)) {
        const VirtRange required = tlb.device ? callback.range : required_of_iotlb(callback.range);
        const auto it = callback.invalidated.find(tlb);
        const bool any = it != callback.invalidated.end();
        if (any && it->second.covers(required)) continue;
        findings.breach(
            record,
            fmt::format("{} invalidated {} of pasid {} {} in the {}", callback.name(),
                        any ? "only " + it->second.text() : "nothing", tlb.pasid, text(required),
                        tlb.device ? "TLB of device " + hex(*tlb.device) : "IOTLB"),
            callback.time);
        return;
    }
}

}  // namespace mmusim::platform
