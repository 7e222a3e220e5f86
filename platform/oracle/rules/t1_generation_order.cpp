// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/t1_generation_order.hpp"

#include <algorithm>

#include "platform/oracle/rules/clear_events.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> GenerationOrderMonitor::events() const {
    return united({clear_events(),
                   {Event::kUbcTlbGenInc, Event::kTlbGenInc, Event::kCpumaskRead,
                    Event::kUbcFlushRequired, Event::kFlushTlbOthers, Event::kIpiSend,
                    Event::kFlushTlbMmRange, Event::kFlushTlbMmRangeRet}});
}

void GenerationOrderMonitor::on_record(const EventRecord& record, Findings& findings) {
    ++position_;
    const Key key{record.actor, record.arguments[0]};
    if (is_clear(record.event)) {
        Steps& steps = steps_.at(key);
        steps.stored = position_;
        steps.stored_at = record.time;
        return;
    }
    switch (record.event) {
        case Event::kUbcTlbGenInc:
        case Event::kTlbGenInc:
            steps_.at(key).raised = position_;
            break;
        case Event::kCpumaskRead:
            steps_.at(key).mask_read = position_;
            break;
        case Event::kUbcFlushRequired:
            decide_batch(record, findings);
            break;
        case Event::kFlushTlbMmRange:
            flushes_[record.actor] = {record.arguments[0], position_, record.time, false};
            break;
        case Event::kFlushTlbOthers:
            if (const RangeFlush* flush = flush_of(record.actor);
                flush && flush->mm == record.arguments[1])
                decide_range(record, Decision::kInterrupt, findings);
            break;
        case Event::kIpiSend:
            decide_range(record, Decision::kInterrupt, findings);
            break;
        case Event::kFlushTlbMmRangeRet:
            decide_range(record, Decision::kReturn, findings);
            if (const RangeFlush* flush = flush_of(record.actor)) {
                steps_.erase({record.actor, flush->mm});
                flushes_.erase(record.actor);
            }
            break;
        default:
            break;
    }
}

GenerationOrderMonitor::RangeFlush* GenerationOrderMonitor::flush_of(rmap::ActorId actor) {
    const auto it = flushes_.find(actor);
    return it == flushes_.end() ? nullptr : &it->second;
}

void GenerationOrderMonitor::decide_batch(const EventRecord& record, Findings& findings) {
    const Key key{record.actor, record.arguments[0]};
    const Steps* steps = steps_.find(key);
    // A stream may begin between the store and the decision.
    if (!steps || steps->stored == 0) return;
    findings.judge();
    if (steps->raised < steps->stored)
        findings.breach(record,
                        "the CPUs to flush were chosen without raising tlb_gen after the PTE store",
                        steps->stored_at);
    else if (steps->mask_read > steps->stored && steps->mask_read < steps->raised)
        findings.breach(record, "mm_cpumask was read before tlb_gen was raised", steps->stored_at);
    steps_.erase(key);
}

void GenerationOrderMonitor::decide_range(const EventRecord& record, Decision decision,
                                          Findings& findings) {
    RangeFlush* flush = flush_of(record.actor);
    if (!flush || flush->decided || !shows(vocabulary_, Event::kTlbGenInc)) return;
    flush->decided = true;
    findings.judge();
    const Steps& steps = steps_.at({record.actor, flush->mm});
    const rmap::Instant since = steps.stored != 0 ? steps.stored_at : flush->begun_at;
    if (steps.raised < std::max(flush->begun, steps.stored))
        findings.breach(record,
                        decision == Decision::kReturn
                            ? "flush_tlb_mm_range did not raise tlb_gen after the PTE store"
                            : "CPUs were interrupted before tlb_gen was raised",
                        since);
    else if (decision == Decision::kInterrupt && steps.mask_read < steps.raised)
        findings.breach(
            record, "CPUs were interrupted by a mm_cpumask read before tlb_gen was raised", since);
}

}  // namespace mmusim::platform
