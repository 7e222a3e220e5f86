// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n9_client_start.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> ClientStartMonitor::events() const {
    return {Event::kClientStart,    Event::kClientCount, Event::kClientZapped,
            Event::kClientStartRet, Event::kMnStartRet,  Event::kKvmMakeRequest,
            Event::kKvmEntry,       Event::kKvmExit,     Event::kCallFunctionAck};
}

void ClientStartMonitor::on_record(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kClientStart:
            running_[{record.actor, arguments[0]}] = {range_at(record, 2), record.time};
            break;
        case Event::kMnStartRet:
            finish_start(record, findings);
            break;
        case Event::kKvmMakeRequest:
            request(record);
            break;
        case Event::kKvmEntry:
            cpus_.at({arguments[0], arguments[1]}) = record.actor;
            break;
        case Event::kKvmExit:
            cpus_.at({arguments[0], arguments[1]}) = record.actor;
            leave({arguments[0], arguments[1]});
            break;
        case Event::kCallFunctionAck:
            acknowledge(record);
            break;
        default:
            advance(record, findings);
            break;
    }
}

/// Counts and removals at other times are not START's.
void ClientStartMonitor::advance(const EventRecord& record, Findings& findings) {
    const auto it = running_.find({record.actor, record.arguments[0]});
    if (it == running_.end()) return;
    Callback& callback = it->second;
    if (record.event == Event::kClientCount) {
        const std::uint64_t count = record.arguments[2];
        callback.counted = callback.counted || count > 0;
    } else if (record.event == Event::kClientZapped) {
        callback.removed_early = callback.removed_early || !callback.counted;
        callback.removed.add(range_at(record, 2));
    } else {
        finish_callback(record, findings);
        running_.erase(it);
    }
}

ClientStartMonitor::Callback* ClientStartMonitor::callback_of(rmap::ActorId cpu) {
    const auto it = running_.lower_bound({cpu, 0});
    return it != running_.end() && it->first.first == cpu ? &it->second : nullptr;
}

/// The record names a VM, not a client: it belongs to the callback that this CPU is in.
void ClientStartMonitor::request(const EventRecord& record) {
    const auto [vm, vcpu, mode, kicked, unused1, unused2] = rmap::leading<6>(record.arguments);
    static_cast<void>(unused1), static_cast<void>(unused2);
    constexpr std::uint64_t kOutsideGuest = 0;
    if (mode == kOutsideGuest) return;
    Callback* callback = callback_of(record.actor);
    if (!callback) return;
    if (kicked)
        callback->kicked.insert({vm, vcpu});
    else
        callback->running_vcpu = vcpu;
}

void ClientStartMonitor::leave(Vcpu vcpu) {
    for (auto& [key, callback] : running_) callback.kicked.erase(vcpu);
}

void ClientStartMonitor::acknowledge(const EventRecord& record) {
    Callback* callback = callback_of(record.arguments[0]);
    if (!callback) return;
    auto& kicked = callback->kicked;
    auto unseen = kicked.end();
    for (auto vcpu = kicked.begin(); vcpu != kicked.end(); ++vcpu) {
        const rmap::ActorId* cpu = cpus_.find(*vcpu);
        if (cpu && *cpu == record.actor) {
            kicked.erase(vcpu);
            return;
        }
        if (!cpu && unseen == kicked.end()) unseen = vcpu;
    }
    if (unseen != kicked.end()) kicked.erase(unseen);
}

void ClientStartMonitor::finish_callback(const EventRecord& record, Findings& findings) {
    findings.judge();
    const Callback& callback = running_.at({record.actor, record.arguments[0]});
    const auto breach = [&](const std::string& what) {
        findings.breach(record, fmt::format("client {} {}", record.arguments[0], what),
                        callback.time);
    };
    const std::string range = text(callback.range);
    const auto may_use = [&](std::uint64_t vcpu) {
        return fmt::format(
            "returned from START while vCPU {} could still use its entries of {}: ", vcpu, range);
    };
    if (!callback.counted)
        breach("returned from START without raising its count for " + range);
    else if (callback.removed_early)
        breach("removed its entries of " + range + " before it raised its count");
    else if (callback.removed.empty())
        breach("returned from START before its entries of " + range + " were removed");
    else if (callback.running_vcpu)
        breach(may_use(*callback.running_vcpu) + "it was in guest mode and was not stopped");
    else if (!callback.kicked.empty())
        breach(may_use(callback.kicked.begin()->second) +
               "it was kicked and had not left guest mode");
    else if (!callback.removed.covers(callback.range))
        breach(fmt::format("removed only {} of {}", callback.removed.text(), range));
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
