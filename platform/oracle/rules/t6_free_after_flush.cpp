// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/t6_free_after_flush.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> FreeAfterFlushMonitor::events() const {
    std::vector<Event> result = DeferredClears::events();
    result.push_back(Event::kPageFree);
    return result;
}

void FreeAfterFlushMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (record.event != Event::kPageFree) {
        clears_.on_record(record);
        return;
    }
    const std::uint64_t order = record.arguments[1];
    if (order == 0) judge(record, findings);
    clears_.forget({record.arguments[0]});
}

void FreeAfterFlushMonitor::judge(const EventRecord& record, Findings& findings) {
    const auto clears = clears_.of({record.arguments[0]});
    if (clears.empty()) return;
    findings.judge();
    const auto owed = std::find_if(clears.begin(), clears.end(),
                                   [](const DeferredClear& clear) { return !clear.flushed; });
    if (owed != clears.end())
        findings.breach(record,
                        fmt::format("pfn {} was freed before the batch flush: {}",
                                    hex(record.arguments[0]), describe(*owed)),
                        owed->time, translation_text(*owed));
}

}  // namespace mmusim::platform
