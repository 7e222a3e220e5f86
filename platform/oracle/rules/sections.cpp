// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/sections.hpp"

#include <algorithm>

namespace mmusim::platform {

using rmap::ActorId;
using rmap::Event;
using rmap::EventRecord;
using rmap::MmId;
using rmap::VirtRange;

std::vector<Event> Sections::events() {
    return {Event::kMnStart, Event::kMnStartRet, Event::kMnEnd};
}

void Sections::on_record(const EventRecord& record) {
    switch (record.event) {
        case Event::kMnStart:
            start(record);
            break;
        case Event::kMnStartRet:
            start_returns(record);
            break;
        case Event::kMnEnd:
            end(record);
            break;
        default:
            break;
    }
}

void Sections::start(const EventRecord& record) {
    List& list = sections_.at(section_mm(record));
    if (list.size() >= kPerMm) list.erase(list.begin());
    Section section;
    section.actor = record.actor;
    section.mm = section_mm(record);
    section.range = section_range(record);
    section.blockable = record.arguments[3] != 0;
    section.called = record.time;
    list.push_back(section);
}

void Sections::start_returns(const EventRecord& record) {
    List* list = sections_.find(section_mm(record));
    if (!list) return;
    const auto it = std::find_if(list->rbegin(), list->rend(), [&](const Section& section) {
        return !section.open && section.actor == record.actor &&
               section.range == section_range(record);
    });
    if (it == list->rend()) return;
    const bool refused = record.arguments[3] != 0;
    if (refused) {
        list->erase(std::next(it).base());
    } else {
        it->open = true;
        it->opened = record.time;
    }
}

/// A task may have moved to another CPU inside its section.
void Sections::end(const EventRecord& record) {
    List* list = sections_.find(section_mm(record));
    if (!list) return;
    const auto matches = [&](const Section& section) {
        return section.range == section_range(record);
    };
    auto it = std::find_if(list->rbegin(), list->rend(), [&](const Section& section) {
        return section.actor == record.actor && matches(section);
    });
    if (it == list->rend()) it = std::find_if(list->rbegin(), list->rend(), matches);
    if (it == list->rend()) return;
    list->erase(std::next(it).base());
    if (list->empty()) sections_.erase(section_mm(record));
}

const Section* Sections::covering(MmId mm, rmap::VirtAddr address, ActorId actor) {
    const List* list = sections_.find(mm);
    if (!list) return nullptr;
    const Section* found = nullptr;
    for (auto it = list->rbegin(); it != list->rend(); ++it) {
        if (!it->open || !it->range.contains(address)) continue;
        if (it->actor == actor) return &*it;
        if (!found) found = &*it;
    }
    return found;
}

const Section* Sections::of(ActorId actor, MmId mm, VirtRange range) {
    const List* list = sections_.find(mm);
    if (!list) return nullptr;
    const auto it = std::find_if(list->rbegin(), list->rend(), [&](const Section& section) {
        return section.actor == actor && section.range == range;
    });
    return it == list->rend() ? nullptr : &*it;
}

const Section* Sections::innermost(ActorId actor, MmId mm) {
    const List* list = sections_.find(mm);
    if (!list) return nullptr;
    const auto it = std::find_if(list->rbegin(), list->rend(), [&](const Section& section) {
        return section.open && section.actor == actor;
    });
    return it == list->rend() ? nullptr : &*it;
}

}  // namespace mmusim::platform
