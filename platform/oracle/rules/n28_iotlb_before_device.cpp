// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n28_iotlb_before_device.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/oracle/bounded_map.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::VirtRange;

std::vector<Event> IotlbBeforeDeviceMonitor::events() const {
    return {Event::kClientInvalidate, Event::kClientInvalidateRet, Event::kIotlbInvalidated,
            Event::kAtsInvalidateRequest, Event::kAtsInvalidateDone};
}

void IotlbBeforeDeviceMonitor::on_record(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kClientInvalidate:
            callbacks_[record.actor] = {arguments[0],     arguments[1], range_at(record, 2),
                                        record.operation, {},           {}};
            break;
        case Event::kIotlbInvalidated:
            if (Callback* callback = cause_of(record, range_at(record, 1)))
                callback->iotlb.insert(arguments[0]);
            break;
        case Event::kAtsInvalidateRequest:
            request(record, findings);
            break;
        case Event::kAtsInvalidateDone:
            answer(record);
            break;
        default:
            judge_return(record, findings);
            break;
    }
}

IotlbBeforeDeviceMonitor::Callback* IotlbBeforeDeviceMonitor::cause_of(const EventRecord& record,
                                                                       VirtRange range) {
    for (auto& [cpu, callback] : callbacks_)
        if (callback.operation == record.operation && callback.range.overlaps(range))
            return &callback;
    return nullptr;
}

void IotlbBeforeDeviceMonitor::request(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    const VirtRange range = range_at(record, 2);
    Callback* callback = cause_of(record, range);
    if (!callback) return;
    findings.judge();
    if (callback->iotlb.count(arguments[1]) == 0) {
        findings.breach(record,
                        fmt::format("device {} was asked to invalidate pasid {} {} before the "
                                    "IOTLB was, in client {}'s invalidate_range of mm {} {}",
                                    hex(arguments[0]), arguments[1], text(range), callback->client,
                                    callback->mm, text(callback->range)),
                        record.time);
    } else if (callback->unanswered.size() < kMonitorCapacity) {
        callback->unanswered.push_back({arguments[0], arguments[1], range, record.time});
    }
}

void IotlbBeforeDeviceMonitor::answer(const EventRecord& record) {
    const auto& arguments = record.arguments;
    const VirtRange range = range_at(record, 2);
    Callback* callback = cause_of(record, range);
    if (!callback) return;
    auto& unanswered = callback->unanswered;
    const auto it = std::find_if(unanswered.begin(), unanswered.end(), [&](const Request& request) {
        return request.device == arguments[0] && request.pasid == arguments[1] &&
               request.range == range;
    });
    if (it != unanswered.end()) unanswered.erase(it);
}

void IotlbBeforeDeviceMonitor::judge_return(const EventRecord& record, Findings& findings) {
    const auto it = callbacks_.find(record.actor);
    if (it == callbacks_.end()) return;
    const Callback& callback = it->second;
    for (const Request& request : callback.unanswered)
        findings.breach(record,
                        fmt::format("client {} returned from invalidate_range of mm {} {} before "
                                    "device {} had answered for pasid {} {}",
                                    callback.client, callback.mm, text(callback.range),
                                    hex(request.device), request.pasid, text(request.range)),
                        request.time);
    callbacks_.erase(it);
}

}  // namespace mmusim::platform
