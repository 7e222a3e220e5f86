// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n3_refused_start.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

void RefusedStartMonitor::on_record(const EventRecord& record, Findings& findings) {
    const rmap::MmId mm = section_mm(record);
    const rmap::VirtRange range = section_range(record);
    const Key key{record.actor, mm, range.start.value, range.end.value};
    if (record.event == Event::kMnStartRet && record.arguments[3] != 0) {
        findings.judge();
        refused_.at(key) = record.time;
    } else if (record.event == Event::kMnStart) {
        refused_.erase(key);
    } else if (record.event == Event::kMnEnd && !sections_.of(record.actor, mm, range)) {
        if (const rmap::Instant* refused = refused_.find(key)) {
            findings.breach(record,
                            fmt::format("END for mm {} {}, whose START was refused at {}", mm,
                                        text(range), text(*refused)),
                            *refused);
            refused_.erase(key);
        }
    }
    sections_.on_record(record);
}

}  // namespace mmusim::platform
