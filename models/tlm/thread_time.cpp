// SPDX-License-Identifier: Apache-2.0
#include "models/tlm/thread_time.hpp"

#include <utility>

#include "rmap/types/time_rule.hpp"

namespace mmusim::models {

using rmap::Completion;
using rmap::Duration;
using rmap::Instant;
using rmap::Interrupts;
using rmap::kNever;
using rmap::Observed;
using rmap::Part;

ThreadTime::ThreadTime(rmap::ActorId actor, const Lookahead& lookahead, rmap::Accountant& account,
                       Hooks hooks)
    : actor_(actor), lookahead_(lookahead), account_(account), hooks_(std::move(hooks)) {}

// ---- waiting on the simulator's kernel ----

void ThreadTime::resumed() {
    resumed_at_ = kernel_now();
    update_next_stop();
    if (hooks_.settled) hooks_.settled();
}

void ThreadTime::wait_for(Duration time, const sc_core::sc_event* event) {
    ++switches_;
    if (event)
        sc_core::wait(to_sc_time(time), *event);
    else
        sc_core::wait(to_sc_time(time));
    resumed();
}

void ThreadTime::wait_for_events(const sc_core::sc_event& first, const sc_core::sc_event* second) {
    ++switches_;
    if (second)
        sc_core::wait(first | *second);
    else
        sc_core::wait(first);
    resumed();
}

void ThreadTime::sync_before_visible_action() {
    while (local_ > kernel_now()) wait_for(local_ - kernel_now(), nullptr);
}

void ThreadTime::observe(Observed kind) {
    while (local_ >= limit(kind)) sync_before_visible_action();
    MMUSIM_CHECK(local_ >= kernel_now(), "an actor observes at or after kernel time");
}

// ---- interrupts ----

void ThreadTime::update_next_stop() {
    next_look_ = rmap::min(limit(Observed::kInterrupt), inbox_.next_at());
    next_stop_ = interrupts_ == Interrupts::kOff ? kNever : next_look_;
}

/// An event keeps only its earliest notification, so it is armed again before every wait.
void ThreadTime::arm() {
    if (inbox_.next_at() != kNever && inbox_.next_at() > kernel_now())
        bell_.notify(to_sc_time(inbox_.next_at() - kernel_now()));
}

void ThreadTime::post_interrupt(const EffectKey& key, rmap::Vector vector,
                                rmap::OperationId operation) {
    if (key.time <= decided_) late_.add(decided_ - key.time + rmap::picoseconds(1));
    inbox_.post(key, {vector, operation});
    update_next_stop();
    if (key.time > kernel_now())
        bell_.notify(to_sc_time(key.time - kernel_now()));
    else
        bell_.notify(sc_core::SC_ZERO_TIME);
}

bool ThreadTime::interrupt_due(Instant until) {
    decided_ = rmap::max(decided_, until);
    return inbox_.next_at() <= until;
}

bool ThreadTime::look_for_interrupt() {
    if (inbox_.next_at() <= local_) return true;  // whatever else may still come
    if (!broken(rmap::TimeRule::kGuestInterrupts)) observe(Observed::kInterrupt);
    return interrupt_due(local_);
}

void ThreadTime::take_interrupt() {
    const auto item = inbox_.take();
    MMUSIM_CHECK(local_ >= item.key.time && local_ >= kernel_now(),
                 "a handler starts after its interrupt has arrived");
    interrupts_ = Interrupts::kOff;
    update_next_stop();
    account_.enter_interrupt(item.value.operation);
    hooks_.take_interrupt({item.value.vector, item.key.time, item.value.operation});
    account_.leave_interrupt();
    interrupts_ = Interrupts::kOn;
    update_next_stop();
}

void ThreadTime::stop_at_boundary() {
    if (interrupts_ == Interrupts::kOff) return;
    for (;;) {
        observe(Observed::kInterrupt);
        if (!interrupt_due(local_)) break;
        take_interrupt();
    }
    update_next_stop();
}

Interrupts ThreadTime::set_interrupts(Interrupts state) {
    const Interrupts before = interrupts_;
    interrupts_ = state;
    update_next_stop();
    if (before == Interrupts::kOff && state == Interrupts::kOn) boundary();
    return before;
}

// ---- spending ----

void ThreadTime::spend(Duration cost, Part part) {
    if (interrupts_ == Interrupts::kOff) return advance(cost, part);
    while (cost.ps > 0) {
        const Instant settled{limit(Observed::kInterrupt).ps - 1};
        if (interrupt_due(rmap::min(local_, settled))) {
            take_interrupt();
            continue;
        }
        if (local_ > settled) {
            // Asleep until the end or the next interrupt: one switch however long it takes.
            arm();
            wait_for(local_ + cost - kernel_now(), &bell_);
            continue;
        }
        const Instant stop =
            rmap::min(local_ + cost, rmap::min(settled + rmap::picoseconds(1), inbox_.next_at()));
        cost -= stop - local_;
        decided_ = rmap::max(decided_, Instant{stop.ps - 1});
        advance_to(stop, part);
    }
}

// ---- awaiting ----

/// Time that passes in a wait is charged at its end: only then is it known who was waited for.
void ThreadTime::wait_advance(Instant until) {
    if (until <= local_) return;
    waits_.push_back({local_, until});
    local_ = until;
}

void ThreadTime::charge_waits(const Completion& result, Part part, std::size_t first) {
    for (std::size_t i = first; i < waits_.size(); ++i)
        result.partition(waits_[i].from, waits_[i].to, part,
                         [&](Part stage, Duration time) { account_.charge(stage, time); });
    waits_.resize(first);
}

/// The result's time is not known. Leaving needs every kind of effect up to the present, so an
/// interrupt is taken only when kernel time has come as far as local time.
void ThreadTime::await_unknown() {
    if (interrupts_ == Interrupts::kOn && inbox_.next_at() <= kernel_now()) {
        if (local_ > kernel_now()) return wait_for(local_ - kernel_now(), &reply_event_);
        wait_advance(rmap::max(local_, inbox_.next_at()));
        return take_interrupt();
    }
    if (interrupts_ == Interrupts::kOff) return wait_for_events(reply_event_, nullptr);
    arm();
    wait_for_events(bell_, &reply_event_);
}

/// True when the wait is over.
bool ThreadTime::await_known(Instant at) {
    if (at <= local_) return true;
    if (interrupts_ == Interrupts::kOff) {
        wait_advance(at);
        return true;
    }
    const Instant settled = limit(Observed::kInterrupt);
    if (inbox_.next_at() < rmap::min(at, settled)) {
        wait_advance(inbox_.next_at());
        take_interrupt();
    } else if (at <= settled) {
        decided_ = rmap::max(decided_, Instant{at.ps - 1});
        wait_advance(at);
        return true;
    } else {
        arm();
        wait_for(at - kernel_now(), &bell_);
    }
    return false;
}

void ThreadTime::await(Completion& result, Part part) {
    const std::size_t first = waits_.size();
    for (;;) {
        if (!result.known())
            await_unknown();
        else if (await_known(result.at()))
            break;
    }
    charge_waits(result, part, first);
    update_next_stop();
}

void ThreadTime::await_instruction(Completion& result, Part part) {
    const Interrupts before = std::exchange(interrupts_, Interrupts::kOff);
    await(result, part);
    interrupts_ = before;
    update_next_stop();
}

void ThreadTime::halt(Part part) {
    const Completion never(*this);
    for (;;) {
        await_unknown();
        charge_waits(never, part, 0);
    }
}

}  // namespace mmusim::models
