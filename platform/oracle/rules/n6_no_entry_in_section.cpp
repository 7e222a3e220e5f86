// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n6_no_entry_in_section.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

void NoEntryInSectionMonitor::on_record(const rmap::EventRecord& record, Findings& findings) {
    if (record.event != rmap::Event::kSpteSet) {
        sections_.on_record(record);
        return;
    }
    findings.judge();
    const auto [client, mm, address, spte, pfn, generation] = rmap::leading<6>(record.arguments);
    static_cast<void>(spte);
    const Section* section = sections_.covering(mm, {address}, record.actor);
    if (!section) return;
    findings.breach(
        record,
        fmt::format("client {} made an entry for mm {} va {} inside the section {}, open since {}",
                    client, mm, hex(address), text(section->range), text(section->opened)),
        section->opened, translation_text(mm, {address}, {pfn}, generation));
}

}  // namespace mmusim::platform
