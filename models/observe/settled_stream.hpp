// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "rmap/types/check.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::models {

/// Takes the records of a run in their one order. Must not post records itself.
class EventSink {
public:
    virtual ~EventSink() = default;
    virtual void on_record(const rmap::EventRecord& record) = 0;
};

/// Merges the records of all actors into the order (time, actor, sequence) and hands each one to
/// the sinks once kernel time has passed it (time-model rule 12), so that what the sinks see does
/// not depend on how far ahead an actor ran. Holds only the records that are not settled yet.
class SettledStream {
public:
    /// Every sink gets every record released from now on, in the order in which sinks were added.
    void add_sink(EventSink& sink) { sinks_.push_back(&sink); }

    /// The records of one actor come in ascending (time, sequence), and none is earlier than what
    /// was already released.
    void post(const rmap::EventRecord& record) {
        MMUSIM_CHECK(record.actor != rmap::kNoActor, "a record names its actor");
        MMUSIM_CHECK(record.time >= released_until_,
                     "a record must not be earlier than kernel time");
        if (record.actor >= queues_.size()) queues_.resize(record.actor + std::size_t{1});
        Queue& queue = queues_[record.actor];
        MMUSIM_CHECK(queue.follows(record), "the records of an actor come in ascending order");
        if (queue.empty()) push_head({record.time, record.actor});
        queue.push(record);
    }

    /// Kernel time is `now`: everything earlier is settled.
    void release(rmap::Instant now) {
        while (!heads_.empty() && heads_.front().time < now) {
            const rmap::ActorId actor = pop_head();
            Queue& queue = queues_[actor];
            do {
                ++released_;
                for (EventSink* sink : sinks_) sink->on_record(queue.front());
                queue.pop();
            } while (!queue.empty() && queue.front().time < now && is_next(queue.front()));
            if (!queue.empty()) push_head({queue.front().time, actor});
        }
        released_until_ = rmap::max(released_until_, now);
    }

    /// The run is over: releases all that is left. Nothing may be posted afterwards.
    void finish() { release(rmap::kNever); }

    /// Records handed out so far: the global number of the next one.
    std::uint64_t released() const { return released_; }

private:
    /// First in, first out, in one piece of memory that is reused.
    class Queue {
    public:
        bool empty() const { return first_ == records_.size(); }
        const rmap::EventRecord& front() const { return records_[first_]; }
        bool follows(const rmap::EventRecord& record) const {
            return !used_ || last_time_ < record.time ||
                   (last_time_ == record.time && last_sequence_ < record.sequence);
        }
        void push(const rmap::EventRecord& record) {
            records_.push_back(record);
            used_ = true;
            last_time_ = record.time;
            last_sequence_ = record.sequence;
        }
        void pop() {
            ++first_;
            // Moving the rest costs no more than what was taken out since the last move.
            if (first_ < kLeastMove || first_ * 2 < records_.size()) return;
            records_.erase(records_.begin(),
                           records_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }

    private:
        static constexpr std::size_t kLeastMove = 64;

        std::vector<rmap::EventRecord> records_;
        std::size_t first_ = 0;
        bool used_ = false;
        rmap::Instant last_time_;
        std::uint32_t last_sequence_ = 0;
    };

    /// The earliest record of an actor that has any.
    struct Head {
        rmap::Instant time;
        rmap::ActorId actor;
    };
    static bool later(const Head& a, const Head& b) {
        return b.time < a.time || (a.time == b.time && b.actor < a.actor);
    }

    bool is_next(const rmap::EventRecord& record) const {
        return heads_.empty() || later(heads_.front(), {record.time, record.actor});
    }
    void push_head(const Head& head) {
        heads_.push_back(head);
        std::push_heap(heads_.begin(), heads_.end(), later);
    }
    rmap::ActorId pop_head() {
        std::pop_heap(heads_.begin(), heads_.end(), later);
        const rmap::ActorId actor = heads_.back().actor;
        heads_.pop_back();
        return actor;
    }

    std::vector<EventSink*> sinks_;
    std::vector<Queue> queues_;  ///< by actor
    std::vector<Head> heads_;    ///< a heap, earliest first: one per queue that is not empty
    rmap::Instant released_until_;
    std::uint64_t released_ = 0;
};

}  // namespace mmusim::models
