// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n9_client_start.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

rmap::VirtRange range_of(const EventRecord& record) {
    return {{record.arguments[2]}, {record.arguments[3]}};
}

}  // namespace

std::vector<Event> ClientStartMonitor::events() const {
    return {Event::kClientStart,    Event::kClientCount, Event::kClientZapped,
            Event::kClientStartRet, Event::kMnStartRet,  Event::kKvmMakeRequest};
}

void ClientStartMonitor::on_record(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    const Key key{record.actor, arguments[0]};
    if (record.event == Event::kClientStart) {
        running_[key] = {range_of(record), record.time, false, false, false, {}, {}};
        return;
    }
    if (record.event == Event::kMnStartRet) {
        finish_start(record, findings);
        return;
    }
    if (record.event == Event::kKvmMakeRequest) {
        request(record);
        return;
    }
    const auto it = running_.find(key);
    if (it == running_.end()) return;  // counts and removals at other times are not START's
    Callback& callback = it->second;
    if (record.event == Event::kClientCount) {
        const std::uint64_t count = arguments[2];
        callback.counted = callback.counted || count > 0;
    } else if (record.event == Event::kClientZapped) {
        callback.removed = true;
        callback.removed_early = callback.removed_early || !callback.counted;
        callback.removed_range = range_of(record);
    } else {
        finish_callback(record, findings);
        running_.erase(key);
    }
}

/// The record names a VM, not a client: it belongs to the callback that this CPU is in.
void ClientStartMonitor::request(const EventRecord& record) {
    const auto& [vm, vcpu, mode, kicked, unused1, unused2] = record.arguments;
    constexpr std::uint64_t kOutsideGuest = 0;
    if (mode == kOutsideGuest || kicked) return;
    const auto it = running_.lower_bound({record.actor, 0});
    if (it != running_.end() && it->first.first == record.actor) it->second.running_vcpu = vcpu;
}

void ClientStartMonitor::finish_callback(const EventRecord& record, Findings& findings) {
    findings.judge();
    const Callback& callback = running_.at({record.actor, record.arguments[0]});
    const auto breach = [&](const std::string& what) {
        findings.breach(record, fmt::format("client {} {}", record.arguments[0], what),
                        callback.time);
    };
    const std::string range = text(callback.range);
    if (!callback.counted)
        breach("returned from START without raising its count for " + range);
    else if (callback.removed_early)
        breach("removed its entries of " + range + " before it raised its count");
    else if (!callback.removed)
        breach("returned from START before its entries of " + range + " were removed");
    else if (callback.running_vcpu)
        breach(
            fmt::format("returned from START while vCPU {} could still use its entries of {}: "
                        "it was in guest mode and was not stopped",
                        *callback.running_vcpu, range));
    else if (!callback.removed_range.covers(callback.range))
        breach(fmt::format("removed only {} of {}", text(callback.removed_range), range));
}

void ClientStartMonitor::finish_start(const EventRecord& record, Findings& findings) {
    for (auto it = running_.lower_bound({record.actor, 0});
         it != running_.end() && it->first.first == record.actor; it = running_.erase(it)) {
        findings.judge();
        findings.breach(record,
                        fmt::format("START returned while client {} was still in its callback",
                                    it->first.second),
                        it->second.time);
    }
}

}  // namespace mmusim::platform
