// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n10_mapped_until_cleared.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> MappedUntilClearedMonitor::events() const {
    return united({Sections::events(), clear_events(), {Event::kPageFree}});
}

void MappedUntilClearedMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (!judges_) return;
    if (record.event == Event::kPageFree)
        freed_.at(record.arguments[0]) = {record.arguments[2], record.time};
    else if (is_clear(record.event))
        judge(record, findings);
    else
        sections_.on_record(record);
}

void MappedUntilClearedMonitor::judge(const EventRecord& record, Findings& findings) {
    const auto [mm, address, ptep, pte, pfn, generation] = rmap::leading<6>(record.arguments);
    static_cast<void>(ptep);
    const Section* section = sections_.covering(mm, {address}, record.actor);
    if (!section || section->actor != record.actor || !rmap::Pte{pte}.present()) return;
    findings.judge();
    const Free* freed = freed_.find(pfn);
    if (!freed || freed->generation < generation) return;
    findings.breach(
        record,
        fmt::format("pfn {} was freed at {}, {} the START at {} of the section {} that "
                    "unmaps it from mm {} va {}",
                    hex(pfn), text(freed->time), freed->time < section->called ? "before" : "after",
                    text(section->called), text(section->range), mm, hex(address)),
        freed->time, cleared_translation(record));
}

}  // namespace mmusim::platform
