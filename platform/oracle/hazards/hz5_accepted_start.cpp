// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz5_accepted_start.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/sections.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> AcceptedStartMonitor::events() const {
    return {Event::kMnStart, Event::kClientStart, Event::kMnStartRet};
}

void AcceptedStartMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    const bool may_block = record.event == Event::kMnStart && record.arguments[3] != 0;
    if (record.event == Event::kMnStart && !may_block) {
        accepted_[record.actor].clear();
        return;
    }
    const auto start = accepted_.find(record.actor);
    if (start == accepted_.end()) return;
    if (record.event == Event::kClientStart) {
        start->second.push_back(record.arguments[0]);
        return;
    }
    const std::vector<std::uint64_t> clients = std::move(start->second);
    accepted_.erase(start);
    const bool refused = record.event == Event::kMnStartRet && record.arguments[3] != 0;
    if (!refused || clients.empty()) return;
    occurrences.add(record, {}, [&](Occurrence& first) {
        first.what = fmt::format("START of mm {} {} was refused; client{} {} had accepted it",
                                 section_mm(record), text(section_range(record)),
                                 clients.size() == 1 ? "" : "s", fmt::join(clients, ", "));
    });
}

}  // namespace mmusim::platform
