// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <systemc>
#include <vector>

#include "models/tlm/inbox.hpp"
#include "models/tlm/lookahead.hpp"
#include "rmap/account/accountant.hpp"
#include "rmap/ports/interrupt_port.hpp"
#include "rmap/ports/time_port.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::models {

inline rmap::Instant kernel_now() { return {sc_core::sc_time_stamp().value()}; }
inline sc_core::sc_time to_sc_time(rmap::Duration d) { return sc_core::sc_time::from_value(d.ps); }
inline rmap::Duration from_sc_time(const sc_core::sc_time& t) { return {t.value()}; }

/// The local time of one SC_THREAD, run ahead of kernel time as far as that is exact. The only
/// place that calls wait() on behalf of models and kernel code.
class ThreadTime final : public rmap::TimePort {
public:
    struct Hooks {
        /// Runs the handler; interrupts are off. Time passes through this object.
        std::function<void(const rmap::TakenInterrupt&)> take_interrupt;
        /// Kernel time has moved on: observers may judge what lies before it.
        std::function<void()> settled;
    };

    ThreadTime(rmap::ActorId actor, const Lookahead& lookahead, rmap::Accountant& account,
               Hooks hooks);

    // rmap::TimePort
    rmap::ActorId actor() const override { return actor_; }
    rmap::Instant local_now() const override { return local_; }
    void spend(rmap::Duration cost, rmap::Part part) override;
    void observe(rmap::Observed kind) override;
    void sync_before_visible_action() override;
    rmap::Interrupts set_interrupts(rmap::Interrupts state) override;
    void await(rmap::Completion& result, rmap::Part part) override;
    void notify_completion() override { reply_event_.notify(sc_core::SC_ZERO_TIME); }
    rmap::Duration visibility() const override { return lookahead_.memory; }

    /// One instruction: time passes without looking at interrupts.
    void advance(rmap::Duration cost, rmap::Part part) { advance_to(local_ + cost, part); }
    void advance_to(rmap::Instant until, rmap::Part part) {
        MMUSIM_CHECK(until >= local_, "local time does not run backwards");
        account_.charge(part, until - local_);
        local_ = until;
    }
    /// Like await, as one instruction: no interrupt is taken before `result` is there.
    void await_instruction(rmap::Completion& result, rmap::Part part);

    /// An instruction boundary: takes the interrupts that have arrived, if they are on.
    void boundary() {
        if (local_ >= next_stop_) stop_at_boundary();
        if (next_stop_ != rmap::kNever) decided_ = local_;
    }

    rmap::Interrupts interrupts() const { return interrupts_; }

    /// With interrupts off: whether one has arrived at or before local time. It stays pending.
    bool interrupt_arrived() {
        if (local_ >= next_look_) return look_for_interrupt();
        decided_ = local_;
        return false;
    }

    /// Local time as the annotated delay of a b_transport call, and back again.
    sc_core::sc_time offset() {
        const rmap::Duration offset = local_ - resumed_at_;
        const rmap::Duration step = offset - offset_.duration;
        if (step != step_.duration) step_ = {step, to_sc_time(step)};
        offset_.duration = offset;
        return offset_.time += step_.time;
    }
    rmap::Instant instant(const sc_core::sc_time& offset) const {
        return resumed_at_ + from_sc_time(offset);
    }
    void rebase(const sc_core::sc_time& offset, rmap::Part part) {
        advance_to(instant(offset), part);
    }

    /// Key of this actor's next effect, taking place at `at`.
    EffectKey next_key(rmap::Instant at) { return {at, actor_, ++sequence_}; }

    /// The fabric delivers an interrupt. Called at kernel time, by any process.
    void post_interrupt(const EffectKey& key, rmap::Vector vector, rmap::OperationId operation);

    /// Blocks, taking interrupts, until the end of the simulation.
    void halt(rmap::Part part);

    const LateEffects& late() const { return late_; }
    std::uint64_t switches() const { return switches_; }

private:
    struct Signal {
        rmap::Vector vector;
        rmap::OperationId operation;
    };

    rmap::Instant limit(rmap::Observed kind) const { return kernel_now() + lookahead_.limit(kind); }
    void stop_at_boundary();
    bool look_for_interrupt();
    bool interrupt_due(rmap::Instant until);
    void take_interrupt();
    /// Until `time` has passed or, if there is one, the event.
    void wait_for(rmap::Duration time, const sc_core::sc_event* event);
    void wait_for_events(const sc_core::sc_event& first, const sc_core::sc_event* second);
    void resumed();
    void arm();
    void update_next_stop();
    void await_unknown();
    bool await_known(rmap::Instant at);
    void wait_advance(rmap::Instant until);
    void charge_waits(const rmap::Completion& result, rmap::Part part, std::size_t first);

    const rmap::ActorId actor_;
    const Lookahead lookahead_;
    rmap::Accountant& account_;
    const Hooks hooks_;
    rmap::Instant local_{};
    /// The last offset, and how far it was from the one before: mostly they are evenly spaced, and
    /// a sum takes less than sc_time::from_value().
    struct Converted {
        rmap::Duration duration{};
        sc_core::sc_time time;
    };
    Converted offset_;
    Converted step_;
    rmap::Instant resumed_at_{};  ///< kernel time, as long as the thread does not wait
    rmap::Instant next_look_{};   ///< first instant at which an interrupt may have arrived
    rmap::Instant next_stop_{};   ///< the same for a boundary: kNever with interrupts off
    rmap::Instant decided_{};     ///< up to here interrupts have been looked for
    rmap::Interrupts interrupts_ = rmap::Interrupts::kOn;
    Inbox<Signal> inbox_;
    sc_core::sc_event bell_;         ///< an interrupt has arrived
    sc_core::sc_event reply_event_;  ///< a completion has become known
    std::uint64_t sequence_ = 0;
    std::uint64_t switches_ = 0;
    LateEffects late_;
    struct Waited {
        rmap::Instant from;
        rmap::Instant to;
    };
    std::vector<Waited> waits_;  ///< stretches of the awaits under way, to be charged at their end
};

}  // namespace mmusim::models
