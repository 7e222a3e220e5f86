// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::test {

/// Writes down an event stream: each event is 10 ns after the last one, by the same actor and for
/// the same operation, unless at(), on() or in() came before it.
class EventStream {
public:
    EventStream& at(std::uint64_t ns) { return now_ = ns, *this; }
    EventStream& on(rmap::ActorId actor) { return actor_ = actor, *this; }
    EventStream& in(rmap::OperationId operation) { return operation_ = operation, *this; }

    EventStream& emit(rmap::Event event, std::initializer_list<std::uint64_t> arguments = {}) {
        rmap::EventRecord record;
        record.time = rmap::Instant{} + rmap::nanoseconds(now_);
        record.actor = actor_;
        record.sequence = static_cast<std::uint32_t>(records_.size());
        record.operation = operation_;
        record.event = event;
        std::copy(arguments.begin(), arguments.end(), record.arguments.begin());
        records_.push_back(record);
        now_ += 10;
        return *this;
    }

    const std::vector<rmap::EventRecord>& records() const { return records_; }
    void play(models::EventSink& sink) const {
        for (const auto& record : records_) sink.on_record(record);
    }

private:
    std::uint64_t now_ = 10;
    rmap::ActorId actor_ = 0;
    rmap::OperationId operation_ = 0;
    std::vector<rmap::EventRecord> records_;
};

}  // namespace mmusim::test
