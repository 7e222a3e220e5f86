// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz14_own_callback.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

std::array<std::uint64_t, 4> request_at(const EventRecord& record, std::size_t first) {
    std::array<std::uint64_t, 4> request{};
    std::copy_n(record.arguments.begin() + first, request.size(), request.begin());
    return request;
}

}  // namespace

std::vector<Event> OwnCallbackMonitor::events() const {
    return {Event::kFlushTlbOthers, Event::kFlushTlbFuncRemote, Event::kFlushTlbFuncRet,
            Event::kFlushTlbOthersRet};
}

void OwnCallbackMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    if (record.event == Event::kFlushTlbOthers) {
        rounds_[record.actor] = {request_at(record, 1), record.operation};
        return;
    }
    const auto it = rounds_.find(record.actor);
    if (it == rounds_.end()) return;
    Round& round = it->second;
    switch (record.event) {
        case Event::kFlushTlbFuncRemote:
            if (record.operation == round.operation && request_at(record, 0) == round.request)
                round.callback = record;
            break;
        case Event::kFlushTlbFuncRet:
            if (!round.callback || record.operation != round.operation) break;
            count(round, record.time, occurrences);
            round.callback.reset();
            break;
        default:
            // One that does nothing, because the mm is not loaded any more, has no return.
            if (round.callback) count(round, round.callback->time, occurrences);
            rounds_.erase(it);
            break;
    }
}

void OwnCallbackMonitor::count(const Round& round, rmap::Instant end, Occurrences& occurrences) {
    const EventRecord& callback = *round.callback;
    occurrences.add(callback, end - callback.time, [&](Occurrence& first) {
        const std::uint64_t mm = round.request[0];
        first.what = fmt::format("flush_tlb_func_remote for {} on its own initiator",
                                 mm == 0 ? "the batch" : fmt::format("mm {}", mm));
    });
}

}  // namespace mmusim::platform
