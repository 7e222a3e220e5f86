// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/deferred_clears.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::platform {

using rmap::ActorId;
using rmap::Event;
using rmap::EventRecord;
using rmap::FrameNumber;

std::string translation_text(const DeferredClear& clear) {
    return translation_text(clear.mm, clear.address, clear.frame, clear.generation);
}

std::string describe(const DeferredClear& clear) {
    std::string result = fmt::format("mm {} va {} was cleared with its flush deferred at {}",
                                     clear.mm, hex(clear.address.value), text(clear.time));
    if (clear.left_out != 0)
        result += fmt::format(" and the batch flush left out CPUs {}", hex(clear.left_out));
    return result;
}

const std::vector<Event>& DeferredClears::events() {
    static const std::vector<Event> kEvents = {
        Event::kPteClearDefer,   Event::kUbcFlushRequired,   Event::kArchTlbbatchFlush,
        Event::kFlushTlbMmRange, Event::kFlushTlbMmRangeRet, Event::kArchTlbbatchFlushRet,
    };
    return kEvents;
}

void DeferredClears::on_record(const EventRecord& record) {
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kPteClearDefer:
            add(record);
            break;
        case Event::kUbcFlushRequired:
            add_cpumask(record);
            break;
        case Event::kArchTlbbatchFlush:
            open_[record.actor] = {true, clears_.next(), arguments[0], 0, {}};
            break;
        case Event::kFlushTlbMmRange:
            open_[record.actor] = {
                false, clears_.next(), 0, arguments[0], {{arguments[1]}, {arguments[2]}}};
            break;
        case Event::kArchTlbbatchFlushRet:
        case Event::kFlushTlbMmRangeRet:
            if (const auto open = open_.find(record.actor); open != open_.end()) {
                const OpenFlush flush = open->second;
                open_.erase(open);
                if (flush.batch)
                    finish_batch(record.actor, flush);
                else
                    finish_range(flush);
            }
            break;
        default:
            break;
    }
}

void DeferredClears::add(const EventRecord& record) {
    const auto& arguments = record.arguments;
    DeferredClear clear;
    clear.actor = record.actor;
    clear.mm = arguments[0];
    clear.address = {arguments[1]};
    clear.frame = {arguments[4]};
    clear.generation = static_cast<rmap::Generation>(arguments[5]);
    clear.dirty = rmap::Pte{arguments[3]}.dirty();
    clear.time = record.time;
    const Id id = clears_.add({clear.mm, clear.address, clear.frame}, clear);
    owed_by_actor_.emplace(clear.actor, id);
    if (const auto oldest = clears_.excess()) erase(*oldest);
}

/// Belongs to the actor's latest clear, if that is the one it names.
void DeferredClears::add_cpumask(const EventRecord& record) {
    auto latest = owed_by_actor_.upper_bound({record.actor, clears_.next()});
    if (latest == owed_by_actor_.begin() || (--latest)->first != record.actor) return;
    DeferredClear& clear = clears_.at(latest->second);
    if (clear.mm == record.arguments[0] && clear.address.value == record.arguments[1])
        clear.cpumask = record.arguments[2];
}

void DeferredClears::finish_batch(ActorId actor, const OpenFlush& flush) {
    for (auto it = owed_by_actor_.lower_bound({actor, 0});
         it != owed_by_actor_.end() && it->first == actor && it->second < flush.before;) {
        const Id id = (it++)->second;
        DeferredClear& clear = clears_.at(id);
        clear.left_out = clear.cpumask & ~flush.cpumask;
        if (clear.left_out == 0) settle(id);
    }
}

void DeferredClears::finish_range(const OpenFlush& flush) {
    for (const Id id : clears_.owed(flush.mm, flush.range))
        if (id < flush.before) settle(id);
}

std::vector<DeferredClear> DeferredClears::owed(rmap::MmId mm) const {
    std::vector<DeferredClear> result;
    for (const Id id : clears_.owed(mm, rmap::kAllAddresses)) result.push_back(clears_.at(id));
    return result;
}

void DeferredClears::settle(Id id) {
    DeferredClear& clear = clears_.at(id);
    clear.flushed = true;
    owed_by_actor_.erase({clear.actor, id});
    clears_.settle(id);
}

void DeferredClears::erase(Id id) {
    owed_by_actor_.erase({clears_.at(id).actor, id});
    clears_.erase(id);
}

void DeferredClears::forget(FrameNumber frame) {
    for (const Id id : clears_.ids_of(frame, 0)) erase(id);
}

}  // namespace mmusim::platform
