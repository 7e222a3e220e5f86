// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n14_only_end.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/sections.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

void OnlyEndMonitor::on_record(const EventRecord& record, Findings& findings) {
    const rmap::VirtRange range = section_range(record);
    const Key key{record.actor, section_mm(record), range.start.value, range.end.value};
    if (record.event == Event::kMnStart) {
        starts_.at(key) = clears_.next();
    } else if (record.event == Event::kMnEnd) {
        const bool only_end = record.arguments[3] != 0;
        if (only_end) judge(record, findings);
        starts_.erase(key);
    }
    clears_.on_record(record);
}

void OnlyEndMonitor::judge(const EventRecord& record, Findings& findings) {
    const rmap::MmId mm = section_mm(record);
    const rmap::VirtRange range = section_range(record);
    const UnnotifiedClears::Id* since =
        starts_.find({record.actor, mm, range.start.value, range.end.value});
    if (!since) return;
    findings.judge();
    const auto silent = clears_.first(mm, range, record.actor, *since);
    if (!silent) return;
    const EventRecord& clear = silent->record;
    findings.breach(record,
                    fmt::format("the section of mm {} {} ended without invalidate_range, though va "
                                "{} was cleared at {} and had none",
                                mm, text(range), hex(clear.arguments[1]), text(clear.time)),
                    clear.time, cleared_translation(clear));
}

}  // namespace mmusim::platform
