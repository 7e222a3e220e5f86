// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n4_start_may_sleep.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> StartMaySleepMonitor::events() const {
    return united({Sections::events(),
                   TableLocks::events(),
                   {Event::kFlushTlbFunc, Event::kFlushTlbFuncRet}});
}

void StartMaySleepMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (!judges_) return;
    switch (record.event) {
        case Event::kMnStart:
            if (record.arguments[3] != 0) judge(record, findings);
            break;
        case Event::kMnEnd:
            if (const Section* section =
                    sections_.of(record.actor, section_mm(record), section_range(record));
                section && section->blockable)
                judge(record, findings);
            break;
        case Event::kFlushTlbFunc:
            flushing_.insert(record.actor);
            break;
        case Event::kFlushTlbFuncRet:
            flushing_.erase(record.actor);
            break;
        default:
            break;
    }
    locks_.on_record(record);
    sections_.on_record(record);
}

void StartMaySleepMonitor::judge(const EventRecord& record, Findings& findings) {
    findings.judge();
    const bool locked = locks_.held(record.actor);
    if (!locked && flushing_.count(record.actor) == 0) return;
    findings.breach(record,
                    fmt::format("{} of mm {} {} may sleep but was called {}",
                                record.event == Event::kMnStart ? "START" : "END",
                                section_mm(record), text(section_range(record)),
                                locked ? "with a page-table lock held" : "inside flush_tlb_func"),
                    record.time);
}

}  // namespace mmusim::platform
