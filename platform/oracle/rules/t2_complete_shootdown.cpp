// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/t2_complete_shootdown.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/clear_events.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::ActorId;
using rmap::Event;
using rmap::EventRecord;

namespace {

constexpr std::uint64_t bit(std::uint64_t cpu) { return cpu < 64 ? std::uint64_t{1} << cpu : 0; }

std::array<std::uint64_t, 4> request_at(const EventRecord& record, std::size_t first) {
    const auto& arguments = record.arguments;
    return {arguments[first], arguments[first + 1], arguments[first + 2], arguments[first + 3]};
}

}  // namespace

std::vector<Event> CompleteShootdownMonitor::events() const {
    return united({clear_events(),
                   {Event::kFlushTlbOthers, Event::kFlushTlbOthersRet, Event::kTlbIsNotLazy,
                    Event::kTlbIsNotLazyRet, Event::kFlushTlbFuncRemote, Event::kFlushTlbFunc,
                    Event::kFlushTlbFuncRet}});
}

void CompleteShootdownMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (!judges_) return;
    if (is_clear(record.event)) {
        cleared_[record.actor] = record;
        return;
    }
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kFlushTlbOthers:
            rounds_[record.actor] = {request_at(record, 1), arguments[0] & ~bit(record.actor), 0,
                                     record.time};
            break;
        case Event::kTlbIsNotLazy:
            asked_lazy_[record.actor] = arguments[0];
            break;
        case Event::kTlbIsNotLazyRet:
            if (const auto round = rounds_.find(record.actor);
                round != rounds_.end() && arguments[0] == 0)
                round->second.targets &= ~bit(asked_lazy_[record.actor]);
            break;
        case Event::kFlushTlbFuncRemote:
            begin_function(record.actor, request_at(record, 0));
            break;
        case Event::kFlushTlbFunc:
            running_[record.actor] = request_at(record, 1);
            break;
        case Event::kFlushTlbFuncRet:
            running_.erase(record.actor);
            break;
        default:
            judge_return(record, findings);
            break;
    }
}

/// On a CPU that does not run the mm there is nothing more to it.
void CompleteShootdownMonitor::begin_function(ActorId cpu, const Request& request) {
    for (auto& [initiator, round] : rounds_)
        if (round.request == request) round.began |= bit(cpu);
}

void CompleteShootdownMonitor::judge_return(const EventRecord& record, Findings& findings) {
    const auto it = rounds_.find(record.actor);
    if (it == rounds_.end()) return;
    const Round round = it->second;
    rounds_.erase(it);
    findings.judge();
    for (std::uint64_t rest = round.targets; rest; rest &= rest - 1) {
        const auto cpu = static_cast<ActorId>(__builtin_ctzll(rest));
        const auto running = running_.find(cpu);
        const bool inside = running != running_.end() && running->second == round.request;
        if ((round.began & bit(cpu)) && !inside) continue;
        const auto cleared = cleared_.find(record.actor);
        findings.breach(record,
                        fmt::format("flush_tlb_others returned before CPU {} {} its flush", cpu,
                                    inside ? "had finished" : "began"),
                        round.time,
                        cleared == cleared_.end() ? "" : cleared_translation(cleared->second));
        return;
    }
}

}  // namespace mmusim::platform
