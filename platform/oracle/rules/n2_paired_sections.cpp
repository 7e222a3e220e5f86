// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n2_paired_sections.hpp"

#include <fmt/format.h>

#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

std::string section_text(const EventRecord& record) {
    const auto& arguments = record.arguments;
    return fmt::format("mm {} {}", arguments[0],
                       text(rmap::VirtRange{{arguments[1]}, {arguments[2]}}));
}

}  // namespace

std::vector<Event> PairedSectionsMonitor::events() const {
    return {Event::kMnStart, Event::kMnEnd};
}

void PairedSectionsMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (record.event == Event::kMnStart)
        start(record, findings);
    else
        end(record, findings);
}

void PairedSectionsMonitor::start(const EventRecord& record, Findings& findings) {
    findings.judge();
    if (started_.size() >= kMonitorCapacity) lose_oldest(record.time, findings);
    const auto& arguments = record.arguments;
    started_.push_back(record);
    open_[{arguments[0], arguments[1], arguments[2]}].push_back(std::prev(started_.end()));
}

void PairedSectionsMonitor::end(const EventRecord& record, Findings& findings) {
    const auto& arguments = record.arguments;
    const auto section = open_.find({arguments[0], arguments[1], arguments[2]});
    if (section == open_.end()) {
        findings.judge();
        findings.breach(record, "END without START for " + section_text(record), record.time);
        return;
    }
    started_.erase(section->second.back());
    section->second.pop_back();
    if (section->second.empty()) open_.erase(section);
}

void PairedSectionsMonitor::lose_oldest(rmap::Instant end, Findings& findings) {
    const EventRecord record = started_.front();
    const auto& arguments = record.arguments;
    const auto section = open_.find({arguments[0], arguments[1], arguments[2]});
    section->second.pop_front();
    if (section->second.empty()) open_.erase(section);
    started_.pop_front();
    const bool blockable = arguments[3] != 0;
    if (!blockable) return;
    Breach breach;
    breach.time = record.time;
    breach.actor = record.actor;
    breach.operation = record.operation;
    breach.missing = "no END for the START of " + section_text(record);
    breach.window = end - record.time;
    findings.add(std::move(breach));
}

void PairedSectionsMonitor::finish(rmap::Instant end, Findings& findings) {
    while (!started_.empty()) lose_oldest(end, findings);
}

}  // namespace mmusim::platform
