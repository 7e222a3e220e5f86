// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/t5_write_out_after_flush.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> WriteOutAfterFlushMonitor::events() const {
    std::vector<Event> result = DeferredClears::events();
    result.insert(result.end(), {Event::kSwapWritepage, Event::kDoSwapWritepage,
                                 Event::kFileWritepage, Event::kPageFree});
    return result;
}

void WriteOutAfterFlushMonitor::on_record(const EventRecord& record, Findings& findings) {
    switch (record.event) {
        case Event::kSwapWritepage:
        case Event::kDoSwapWritepage:
        case Event::kFileWritepage:
            judge(record, findings);
            clears_.forget({record.arguments[0]});
            break;
        case Event::kPageFree:
            clears_.forget({record.arguments[0]});
            break;
        default:
            clears_.on_record(record);
            break;
    }
}

void WriteOutAfterFlushMonitor::judge(const EventRecord& record, Findings& findings) {
    const auto clears = clears_.of({record.arguments[0]});
    const auto is_dirty = [](const DeferredClear& clear) { return clear.dirty; };
    if (std::none_of(clears.begin(), clears.end(), is_dirty)) return;
    findings.judge();
    const auto owed = std::find_if(clears.begin(), clears.end(), [](const DeferredClear& clear) {
        return clear.dirty && !clear.flushed;
    });
    if (owed != clears.end())
        findings.breach(record,
                        fmt::format("pfn {} was written out before the batch flush: dirty {}",
                                    hex(record.arguments[0]), describe(*owed)),
                        owed->time, translation_text(*owed));
}

}  // namespace mmusim::platform
