// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <exception>

#include "rmap/types/check.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/part.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::rmap {

/// Kinds of foreign effects, each with its own lookahead (the least time from a point resolved at
/// kernel time to the effect).
enum class Observed { kMemory, kInterrupt, kInvalidation };

enum class Interrupts { kOn, kOff };

class TimePort;

/// A result that another actor makes known: a lock grant, an acknowledgement, an answer of a home.
/// Belongs to the actor that awaits it and must outlive the wait.
class Completion {
public:
    static constexpr std::size_t kStages = 8;  ///< that one completion can tell apart

    explicit Completion(TimePort& owner) : owner_(owner) {}
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;

    bool known() const { return at_ != kNever; }
    Instant at() const { return at_; }

    /// Says that time up to `until` went to `part`, for whoever waits. Stages are given in
    /// ascending order, before complete(); what lies behind the last one goes to the waiter's own
    /// part.
    void stage(Part part, Instant until);

    /// Makes the result known: it takes effect at `at`. Called once, by any actor or home; `at` is
    /// later than the caller's local time by at least the memory lookahead. To an owner that does
    /// nothing but await it, with interrupts off, a home may also say "now".
    void complete(Instant at);

    /// Charges the stretch [from, to) of the waiter to the stages; `rest` gets what is left.
    template <class Charge>
    void partition(Instant from, Instant to, Part rest, Charge&& charge) const {
        for (std::size_t i = 0; i < stage_count_ && from < to; ++i) {
            const Instant until = min(to, stages_[i].until);
            if (until <= from) continue;
            charge(stages_[i].part, until - from);
            from = until;
        }
        if (from < to) charge(rest, to - from);
    }

private:
    struct Stage {
        Part part;
        Instant until;
    };

    TimePort& owner_;
    Instant at_ = kNever;
    std::array<Stage, kStages> stages_{};
    std::size_t stage_count_ = 0;
};

/// The time of the calling actor. Only the actor itself calls it (except notify_completion).
class TimePort {
public:
    virtual ~TimePort() = default;

    virtual ActorId actor() const = 0;
    virtual Instant local_now() const = 0;

    /// Lets `cost` pass and charges it to `part`. With interrupts on, it is cut exactly where an
    /// interrupt arrives: the handler runs and the rest follows.
    virtual void spend(Duration cost, Part part) = 0;

    /// On return every foreign effect of this kind with time <= local_now() is known.
    virtual void observe(Observed kind) = 0;

    /// Local time equals kernel time on return: slow and always right, for what is not classified.
    virtual void sync_before_visible_action() = 0;

    /// Returns the old state. Switching on takes the interrupts that arrived meanwhile, in order.
    virtual Interrupts set_interrupts(Interrupts state) = 0;

    /// Blocks until `result` takes effect; interrupts are taken meanwhile when they are on. The
    /// time goes to the stages of the result, the rest to `part`.
    virtual void await(Completion& result, Part part) = 0;

    /// A completion owned by this actor became known. May be called from any actor or home.
    virtual void notify_completion() = 0;

    /// A message to another actor takes at least this long (the memory lookahead C).
    virtual Duration visibility() const = 0;
};

inline void Completion::stage(Part part, Instant until) {
    MMUSIM_CHECK(stage_count_ < stages_.size(), "a completion has room for its stages");
    stages_[stage_count_++] = {part, until};
}

inline void Completion::complete(Instant at) {
    at_ = at;
    owner_.notify_completion();
}

/// A section with interrupts off (local_irq_save/restore).
class InterruptsOff {
public:
    explicit InterruptsOff(TimePort& time)
        : time_(time), before_(time.set_interrupts(Interrupts::kOff)) {}
    /// Switching on takes pending interrupts; not while an exception is on its way through here.
    ~InterruptsOff() noexcept(false) {
        if (std::uncaught_exceptions() == exceptions_) time_.set_interrupts(before_);
    }
    InterruptsOff(const InterruptsOff&) = delete;
    InterruptsOff& operator=(const InterruptsOff&) = delete;

private:
    TimePort& time_;
    const Interrupts before_;
    const int exceptions_ = std::uncaught_exceptions();
};

}  // namespace mmusim::rmap
