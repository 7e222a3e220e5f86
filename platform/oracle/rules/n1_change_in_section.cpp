// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n1_change_in_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::Pte;

namespace {

const std::vector<Event>& store_events() {
    static const std::vector<Event> kStores = {Event::kPteSet,          Event::kPteRestore,
                                               Event::kPteSetSwap,      Event::kPteRestoreLazyfree,
                                               Event::kPteSetMigration, Event::kMkcleanSetPte};
    return kStores;
}

bool is_store(Event event) {
    const auto& stores = store_events();
    return std::find(stores.begin(), stores.end(), event) != stores.end();
}

/// What happens to the present entry `old`; null if it stays or only gains.
const char* loss(Pte old, Pte now) {
    if (!now.present()) return "was removed";
    if (now.frame() != old.frame()) return "was replaced";
    const std::uint64_t lost = old.raw() & ~now.raw() & (Pte::kWritable | Pte::kUser);
    const std::uint64_t forbidden = now.raw() & ~old.raw() & Pte::kNoExecute;
    return lost || forbidden ? "lost a permission" : nullptr;
}

}  // namespace

std::vector<Event> ChangeInSectionMonitor::events() const {
    return united({NotifiedMms::events(), Sections::events(), clear_events(), store_events()});
}

void ChangeInSectionMonitor::on_record(const EventRecord& record, Findings& findings) {
    mms_.on_record(record);
    sections_.on_record(record);
    const auto [mm, address, ptep, raw, pfn, generation] = rmap::leading<6>(record.arguments);
    static_cast<void>(ptep), static_cast<void>(pfn), static_cast<void>(generation);
    if (!(is_clear(record.event) || is_store(record.event)) || !mms_.has(mm)) return;

    const Place place{mm, rmap::page_of(rmap::VirtAddr{address})};
    const Pte pte{raw};
    if (is_clear(record.event)) {
        if (pte.present()) judge(record, "was removed", pte, findings);
        entries_.at(place) = Pte{};
        return;
    }
    const Pte* known = entries_.find(place);
    const Pte old = known ? *known : Pte{};
    if (old.present())
        if (const char* change = loss(old, pte)) judge(record, change, old, findings);
    entries_.at(place) = pte;
}

void ChangeInSectionMonitor::judge(const EventRecord& record, const char* change, Pte old,
                                   Findings& findings) {
    findings.judge();
    const rmap::MmId mm = record.arguments[0];
    const rmap::VirtAddr address{record.arguments[1]};
    if (sections_.covering(mm, address, record.actor)) return;
    std::string missing = fmt::format("the entry of mm {} va {} {} outside any open section", mm,
                                      hex(address.value), change);
    if (const Section* other = sections_.innermost(record.actor, mm))
        missing += fmt::format("; {} does not cover it", text(other->range));
    findings.breach(
        record, std::move(missing), record.time,
        is_clear(record.event)
            ? cleared_translation(record)
            : fmt::format("mm {} va {} -> pfn {}", mm, hex(address.value), hex(old.frame().value)));
}

}  // namespace mmusim::platform
