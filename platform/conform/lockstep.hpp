// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "platform/conform/comparison.hpp"
#include "platform/conform/script.hpp"
#include "platform/conform/visibility.hpp"
#include "rmap/ports/cpu.hpp"

namespace mmusim::platform {

/// The first difference between the two sides.
struct Mismatch {
    std::string what;
    rmap::CpuId cpu = 0;
    const CaptureEvent* expected = nullptr;  ///< none: the capture has ended
    std::vector<std::string> ours;           ///< of that CPU, from the difference on
};

/// Thrown through our kernel's code when the sides differ.
struct ReplayStopped {};

/// Makes every CPU of the machine emit its events when it is its turn in the capture, and compares
/// each with the capture's. So the sides agree in the one order of all CPUs: whatever our kernel
/// needs from another CPU (a lock, an acknowledgement) must have happened by then there as well,
/// or the replay stands still, which is a difference too.
///
/// A CPU that is not at its turn waits inside emit(); interrupts that arrive are kept until the
/// capture takes them on that CPU. Each turn begins kHandOver after the last one of another CPU, so
/// that what follows an event up to the CPU's next one has taken effect.
class Lockstep {
public:
    /// Called when an event was matched, before its CPU goes on: makes true what the capture says
    /// of the CPU's next event and what is an input.
    using Inputs = std::function<void(rmap::Cpu&, const CaptureEvent& next)>;
    using InterruptHandler = std::function<void(rmap::Cpu&, const rmap::TakenInterrupt&)>;
    /// Sends an interrupt of kOrderVector that no software sees but this.
    using Knock = std::function<void(rmap::Cpu& from, rmap::CpuId to, rmap::Vector vector)>;

    /// What the replay needs of its surroundings.
    struct Hooks {
        Inputs inputs;
        InterruptHandler handler;
        Knock knock;
        /// It is another CPU's turn now, before the CPU whose event was matched goes on.
        std::function<void(rmap::Cpu&, const CaptureEvent& matched)> handed_over;
        /// The task of a CPU goes on, perhaps after it has slept.
        std::function<void(rmap::Cpu&)> resume;
        /// The scheduler switches address spaces in the middle of what the CPU does.
        std::function<void(rmap::Cpu&, const CaptureEvent&)> switch_mm;
    };

    Lockstep(Script& script, Comparison& comparison, Visibility& visibility, Hooks hooks);

    void attach(rmap::Cpu& cpu);

    // ---- before the replay: one CPU acts at a time, and nothing is compared ----
    /// Waits until `step` of the preparation is reached.
    void await_step(rmap::Cpu& cpu, std::size_t step);
    /// `next` is the CPU of the step that follows; none: the replay begins.
    void finish_step(rmap::Cpu& cpu, std::optional<rmap::CpuId> next);

    // ---- during the replay ----
    /// A CPU that does nothing by itself: waits for its turn, serving interrupts, and returns the
    /// event to account for; nullptr when the replay is over.
    const CaptureEvent* await_activity(rmap::Cpu& cpu);
    /// The next event is a mark of the capture's program.
    void pass_mark(rmap::Cpu& cpu);
    /// Something that no capture would have recorded happens on the CPU.
    void unrecorded(rmap::Cpu& cpu, const std::function<void()>& action);
    /// Interrupts another CPU, whatever it does, and lets it do something that no capture would
    /// have recorded: the scheduler's business. Returns when that is done.
    using Action = std::function<void(rmap::Cpu&)>;
    void do_elsewhere(rmap::Cpu& cpu, rmap::CpuId target, const Action& action);
    /// A task that is not of the scenario does something.
    void as_stranger(rmap::Cpu& cpu, const std::function<void()>& action);
    /// Nothing of ours explains the next event, or our own step went wrong.
    [[noreturn]] void fail(rmap::Cpu& cpu, const std::string& what);

    /// Grows with every step of the preparation and every event.
    std::size_t progress() const { return step_ + script_.position(); }
    bool over() const { return phase_ != Phase::kReplay; }

    // ---- from ports and hardware ----
    void emit(rmap::CpuId cpu, rmap::Event event, const rmap::EventArguments& arguments);
    void interrupt(rmap::CpuId cpu, const rmap::TakenInterrupt& taken);

    // ---- when it is over ----
    const std::optional<Mismatch>& mismatch() const { return mismatch_; }
    /// The simulation has nothing left to do, but the script has: who waits for what.
    Mismatch standstill() const;
    std::size_t predicted() const { return predicted_; }

private:
    enum class Phase { kPreparation, kReplay, kAftermath, kOver };

    struct Actor {
        rmap::Cpu* cpu = nullptr;
        rmap::Completion* waiting = nullptr;
        std::deque<rmap::TakenInterrupt> arrived;
        bool in_interrupt = false;
        bool wants_interrupt = false;
        std::deque<Action> ordered;  ///< by do_elsewhere()
        bool muted = false;
        bool stranger = false;  ///< what runs, or was interrupted, is not of the scenario
        CallStack task_calls;
        CallStack interrupt_calls;

        CallStack& calls() { return in_interrupt ? interrupt_calls : task_calls; }
    };

    bool await_turn(Actor& actor);
    bool await_task_turn(Actor& actor);
    bool await_event_turn(Actor& actor, rmap::Event event);
    void wait(Actor& actor);
    void wake(rmap::CpuId cpu, rmap::Instant at);
    void accounted_for(rmap::Cpu& cpu);
    void hand_over(rmap::Cpu& from);
    void serve_interrupt(Actor& actor);
    void match(Actor& actor, rmap::Event event, const rmap::EventArguments& arguments);
    void note_aftermath(Actor& actor, rmap::Event event, const rmap::EventArguments& arguments);
    void note_mismatch(const Actor& actor, const std::string& what);
    void retire(rmap::Event event, const rmap::EventArguments& arguments);

    Script& script_;
    Comparison& comparison_;
    Visibility& visibility_;
    const Hooks hooks_;
    std::vector<Actor> actors_;
    Phase phase_ = Phase::kPreparation;
    rmap::CpuId turn_ = 0;
    std::size_t step_ = 0;
    rmap::Instant turn_from_{};
    std::optional<Mismatch> mismatch_;
    std::size_t predicted_ = 0;
};

}  // namespace mmusim::platform
