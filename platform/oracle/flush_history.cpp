// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/flush_history.hpp"

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::ActorId;
using rmap::Event;
using rmap::EventRecord;

const std::vector<Event>& FlushHistory::events() {
    static const std::vector<Event> kEvents = {
        Event::kPtepClearFlush,
        Event::kPteClear,
        Event::kPteClearDefer,
        Event::kFlushTlbMmRange,
        Event::kFlushTlbMmRangeRet,
        Event::kArchTlbbatchFlush,
        Event::kArchTlbbatchFlushRet,
        Event::kCpumaskRead,
        Event::kFlushTlbOthers,
        Event::kTlbIsNotLazy,
        Event::kTlbIsNotLazyRet,
        Event::kFlushTlbFunc,
        Event::kTlbFlush,
        Event::kTlbInvalidated,
        Event::kCallFunctionAck,
    };
    return kEvents;
}

void FlushHistory::on_record(const EventRecord& record) {
    ++position_;
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kPtepClearFlush:
        case Event::kPteClear:
        case Event::kPteClearDefer:
            add_clear(record);
            break;
        case Event::kFlushTlbMmRange:
        case Event::kArchTlbbatchFlush:
            open_round(record);
            break;
        case Event::kFlushTlbMmRangeRet:
        case Event::kArchTlbbatchFlushRet:
            close_round(record);
            break;
        case Event::kCpumaskRead:
            if (FlushRound* round = round_of(record.actor); round && round->mm == arguments[0])
                round->cpumask = arguments[1];
            break;
        case Event::kFlushTlbOthers:
            if (FlushRound* round = round_of(record.actor); round && !round->cpumask)
                round->cpumask = arguments[0];
            break;
        case Event::kTlbIsNotLazy:
            asked_lazy_[record.actor] = arguments[0];
            break;
        case Event::kTlbIsNotLazyRet:
            if (FlushRound* round = round_of(record.actor);
                round && arguments[0] == 0 && asked_lazy_[record.actor] < 64)
                round->lazy |= std::uint64_t{1} << asked_lazy_[record.actor];
            break;
        default:
            add_act(record);
            break;
    }
}

void FlushHistory::add_clear(const EventRecord& record) {
    const auto [mm, address, ptep, pte, pfn, generation] = rmap::leading<6>(record.arguments);
    static_cast<void>(ptep);
    static_cast<void>(pte);
    clears_.push({position_,
                  record.time,
                  record.actor,
                  record.operation,
                  mm,
                  rmap::page_of(rmap::VirtAddr{address}),
                  {pfn},
                  static_cast<rmap::Generation>(generation),
                  record.event});
}

void FlushHistory::open_round(const EventRecord& record) {
    FlushRound round;
    round.position = position_;
    round.time = record.time;
    round.actor = record.actor;
    round.what = record.event;
    if (record.event == Event::kFlushTlbMmRange) {
        round.mm = record.arguments[0];
        round.range = range_at(record, 1);
    } else {
        round.cpumask = record.arguments[0];
    }
    rounds_.push(round);
    open_rounds_[record.actor] = position_;
}

void FlushHistory::close_round(const EventRecord& record) {
    if (FlushRound* round = round_of(record.actor)) round->end_position = position_;
    open_rounds_.erase(record.actor);
}

FlushRound* FlushHistory::round_of(ActorId actor) {
    const auto open = open_rounds_.find(actor);
    if (open == open_rounds_.end()) return nullptr;
    auto& rounds = rounds_.all();
    const auto it = std::lower_bound(
        rounds.begin(), rounds.end(), open->second,
        [](const FlushRound& round, std::uint64_t position) { return round.position < position; });
    return it != rounds.end() && it->position == open->second ? &*it : nullptr;
}

void FlushHistory::add_act(const EventRecord& record) {
    FlushAct act;
    act.position = position_;
    act.time = record.time;
    act.what = record.event;
    if (record.event == Event::kTlbInvalidated) {
        act.mm = record.arguments[0];
        act.range = range_at(record, 1);
    } else if (record.event == Event::kFlushTlbFunc) {
        act.mm = record.arguments[1];
        act.range = range_at(record, 2);
    } else {
        act.number = record.arguments[record.event == Event::kTlbFlush ? 1 : 0];
        // A sender reports its request under the same name; only what a CPU did itself counts.
        if (record.event == Event::kTlbFlush &&
            record.arguments[0] == static_cast<std::uint64_t>(rmap::TlbFlushReason::kRemoteSendIpi))
            return;
    }
    acts_.try_emplace(record.actor, kActsKept).first->second.push(act);
}

const Recent<FlushAct>& FlushHistory::acts(ActorId actor) const {
    static const Recent<FlushAct> kNone{0};
    const auto it = acts_.find(actor);
    return it == acts_.end() ? kNone : it->second;
}

}  // namespace mmusim::platform
