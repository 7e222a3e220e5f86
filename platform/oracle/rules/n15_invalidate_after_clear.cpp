// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n15_invalidate_after_clear.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "platform/oracle/rules/clear_events.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::MmId;

std::vector<Event> InvalidateAfterClearMonitor::events() const {
    return united({NotifiedMms::events(), TableLocks::events(), clear_events()});
}

void InvalidateAfterClearMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (!judges_) return;
    mms_.on_record(record);
    if (locks_.on_record(record)) end(record, findings);
    if (!locks_.held(record.actor)) return;
    if (record.event == Event::kMnInvalidateRange)
        holds_[record.actor].invalidate(section_mm(record), section_range(record));
    else if (is_clear(record.event) && mms_.has(record.arguments[0]))
        clear(record);
}

void InvalidateAfterClearMonitor::clear(const EventRecord& record) {
    const MmId mm = record.arguments[0];
    const std::uint64_t address = record.arguments[1];
    Hold& hold = holds_[record.actor];
    if (hold.cleared.count({mm, address})) return;  // what came before answers its first clear
    if (hold.cleared.size() >= kMonitorCapacity) hold = {};
    const bool early = hold.is_invalidated(mm, address);
    hold.cleared[{mm, address}] = {record, false, early};
}

void InvalidateAfterClearMonitor::Hold::invalidate(MmId mm, rmap::VirtRange range) {
    std::uint64_t start = range.start.value;
    std::uint64_t stop = range.end.value;
    for (auto it = cleared.lower_bound({mm, start});
         it != cleared.end() && it->first.first == mm && it->first.second < stop; ++it)
        it->second.answered = true;
    auto it = invalidated.lower_bound({mm, start});
    if (it != invalidated.begin()) {
        const auto before = std::prev(it);
        if (before->first.first == mm && before->second >= start) it = before;
    }
    while (it != invalidated.end() && it->first.first == mm && it->first.second <= stop) {
        start = std::min(start, it->first.second);
        stop = std::max(stop, it->second);
        it = invalidated.erase(it);
    }
    invalidated[{mm, start}] = stop;
}

bool InvalidateAfterClearMonitor::Hold::is_invalidated(MmId mm, std::uint64_t address) const {
    auto it = invalidated.upper_bound({mm, address});
    if (it == invalidated.begin()) return false;
    --it;
    return it->first.first == mm && address < it->second;
}

void InvalidateAfterClearMonitor::end(const EventRecord& record, Findings& findings) {
    const auto it = holds_.find(record.actor);
    if (it == holds_.end()) return;
    for (const auto& [address, cleared] : it->second.cleared) {
        if (!cleared.answered && !cleared.early) continue;
        findings.judge();
        if (cleared.answered) continue;
        findings.breach(record,
                        fmt::format("invalidate_range for mm {} va {} came before its clear at {} "
                                    "and not again under the page-table lock",
                                    address.first, hex(address.second), text(cleared.record.time)),
                        cleared.record.time, cleared_translation(cleared.record));
    }
    holds_.erase(it);
}

}  // namespace mmusim::platform
