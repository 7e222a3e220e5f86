// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/unnotified_clears.hpp"

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/clear_events.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::FrameNumber;
using rmap::MmId;
using rmap::VirtRange;

std::vector<Event> UnnotifiedClears::events() {
    return united({NotifiedMms::events(),
                   clear_events(),
                   {Event::kPteRestore, Event::kPteRestoreLazyfree, Event::kMnEndRet}});
}

void UnnotifiedClears::on_record(const EventRecord& record) {
    mms_.on_record(record);
    const auto& arguments = record.arguments;
    if (is_clear(record.event)) {
        if (rmap::Pte{arguments[3]}.present() && mms_.has(arguments[0])) add(record);
        return;
    }
    switch (record.event) {
        case Event::kPteRestore:
        case Event::kPteRestoreLazyfree:
            notify(arguments[0], {{arguments[1]}, {arguments[1] + 1}}, clears_.next());
            break;
        case Event::kMnInvalidateRange:
            notify(section_mm(record), section_range(record), clears_.next());
            break;
        case Event::kMnEnd:
            ends_[record.actor] = {clears_.next(), arguments[3] == 0};
            break;
        case Event::kMnEndRet:
            if (const auto end = ends_.find(record.actor); end != ends_.end()) {
                if (end->second.with_invalidate)
                    notify(section_mm(record), section_range(record), end->second.before);
                ends_.erase(end);
            }
            break;
        default:
            break;
    }
}

void UnnotifiedClears::add(const EventRecord& record) {
    const auto [mm, address, ptep, pte, pfn, generation] = rmap::leading<6>(record.arguments);
    static_cast<void>(ptep), static_cast<void>(pte), static_cast<void>(generation);
    clears_.add({mm, {address}, {pfn}}, {record, false});
    if (const auto oldest = clears_.excess()) clears_.erase(*oldest);
}

void UnnotifiedClears::notify(MmId mm, VirtRange range, Id before) {
    for (const Id id : clears_.owed(mm, range)) {
        if (id >= before) continue;
        clears_.at(id).notified = true;
        clears_.settle(id);
    }
}

std::optional<NotifiableClear> UnnotifiedClears::first(MmId mm, VirtRange range,
                                                       rmap::ActorId actor, Id since) const {
    for (const Id id : clears_.owed(mm, range))
        if (id >= since && clears_.at(id).record.actor == actor) return clears_.at(id);
    return std::nullopt;
}

void UnnotifiedClears::forget(FrameNumber frame, std::uint64_t order) {
    for (const Id id : clears_.ids_of(frame, order)) clears_.erase(id);
}

}  // namespace mmusim::platform
