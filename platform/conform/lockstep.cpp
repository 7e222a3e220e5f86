// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/lockstep.hpp"

#include <fmt/format.h>

#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::CpuId;
using rmap::Event;
using rmap::Instant;
using rmap::Part;

namespace {

/// Longer than anything a CPU does between two events without waiting for somebody.
constexpr rmap::Duration kHandOver = rmap::nanoseconds(50000);
/// How many of our events are shown behind a difference.
constexpr std::size_t kShown = 6;
constexpr rmap::Vector kOrderVector = 0xf0;  ///< no vector of the kernel's

}  // namespace

Lockstep::Lockstep(Script& script, Comparison& comparison, Visibility& visibility, Hooks hooks)
    : script_(script), comparison_(comparison), visibility_(visibility), hooks_(std::move(hooks)) {}

void Lockstep::attach(rmap::Cpu& cpu) {
    MMUSIM_CHECK(cpu.id() == actors_.size(), "CPUs are attached in ascending order");
    actors_.emplace_back();
    actors_.back().cpu = &cpu;
}

// ---- turns ----

void Lockstep::wait(Actor& actor) {
    rmap::Completion turn(actor.cpu->time());
    actor.waiting = &turn;
    actor.cpu->time().await(turn, Part::kIdle);
    actor.waiting = nullptr;
}

void Lockstep::wake(CpuId cpu, Instant at) {
    if (auto* waiting = std::exchange(actors_.at(cpu).waiting, nullptr)) waiting->complete(at);
}

/// False: there are no turns any more.
bool Lockstep::await_turn(Actor& actor) {
    while (phase_ == Phase::kPreparation || (phase_ == Phase::kReplay && turn_ != actor.cpu->id()))
        wait(actor);
    if (phase_ != Phase::kReplay) return false;
    if (actor.cpu->now() < turn_from_) actor.cpu->spend(turn_from_ - actor.cpu->now(), Part::kIdle);
    return true;
}

void Lockstep::hand_over(rmap::Cpu& from) {
    const Instant at = from.now() + kHandOver;
    if (script_.done()) {
        phase_ = Phase::kOver;
        for (const auto& actor : actors_) wake(actor.cpu->id(), at);
        return;
    }
    const CpuId to = script_.next().cpu;
    if (to == turn_) return;
    turn_ = to;
    turn_from_ = at;
    wake(to, at);
}

// ---- preparation ----

void Lockstep::await_step(rmap::Cpu& cpu, std::size_t step) {
    Actor& actor = actors_.at(cpu.id());
    while (step_ != step) wait(actor);
}

void Lockstep::finish_step(rmap::Cpu& cpu, std::optional<CpuId> next) {
    ++step_;
    if (next) {
        if (*next != cpu.id()) wake(*next, cpu.now() + kHandOver);
        return;
    }
    phase_ = Phase::kReplay;
    turn_ = cpu.id();
    hand_over(cpu);
}

// ---- replay ----

const CaptureEvent* Lockstep::await_activity(rmap::Cpu& cpu) {
    return await_task_turn(actors_.at(cpu.id())) ? &script_.next() : nullptr;
}

/// Serves interrupts until what comes next on the CPU is its task's.
bool Lockstep::await_task_turn(Actor& actor) {
    while (await_turn(actor)) {
        if (!script_.next().irq) {
            if (script_.has_task(script_.next().task))
                unrecorded(*actor.cpu, [&] { hooks_.resume(*actor.cpu); });
            return true;
        }
        serve_interrupt(actor);
    }
    return false;
}

/// Serves what comes before an event of the CPU's task: interrupts, and switches to other tasks and
/// back wherever the capture has them. Our kernel never gives up the CPU by itself.
bool Lockstep::await_event_turn(Actor& actor, Event event) {
    const bool of_switch = event == Event::kSwitchMm || event == Event::kTlbFlush;
    while (await_task_turn(actor)) {
        if (of_switch || script_.next().name != "switch_mm_irqs_off") return true;
        hooks_.switch_mm(*actor.cpu, script_.next());
    }
    return false;
}

void Lockstep::unrecorded(rmap::Cpu& cpu, const std::function<void()>& action) {
    Actor& actor = actors_.at(cpu.id());
    const bool muted = std::exchange(actor.muted, true);
    action();
    actor.muted = muted;
}

void Lockstep::as_stranger(rmap::Cpu& cpu, const std::function<void()>& action) {
    Actor& actor = actors_.at(cpu.id());
    actor.stranger = true;
    action();
    actor.stranger = false;
}

void Lockstep::accounted_for(rmap::Cpu& cpu) {
    const CaptureEvent& matched = script_.next();
    script_.advance();
    if (const auto* next = script_.next_on(cpu.id())) hooks_.inputs(cpu, *next);
    hand_over(cpu);
    if (!over()) hooks_.handed_over(cpu, matched);
}

void Lockstep::pass_mark(rmap::Cpu& cpu) { accounted_for(cpu); }

void Lockstep::serve_interrupt(Actor& actor) {
    while (actor.arrived.empty()) {
        actor.wants_interrupt = true;
        wait(actor);
        actor.wants_interrupt = false;
    }
    const auto taken = actor.arrived.front();
    actor.arrived.pop_front();
    const rmap::InterruptsOff irqs_off(actor.cpu->time());
    actor.in_interrupt = true;
    const bool stranger = std::exchange(actor.stranger, !script_.has_task(script_.next().task));
    actor.interrupt_calls = {};
    hooks_.handler(*actor.cpu, taken);
    actor.in_interrupt = false;
    actor.stranger = stranger;
}

void Lockstep::do_elsewhere(rmap::Cpu& cpu, CpuId target, const Action& action) {
    Actor& actor = actors_.at(target);
    actor.ordered.push_back(action);
    hooks_.knock(cpu, target, kOrderVector);
    // Long enough, unless the target has its interrupts off.
    cpu.spend(kHandOver * 2, Part::kIdle);
}

void Lockstep::interrupt(CpuId cpu, const rmap::TakenInterrupt& taken) {
    Actor& actor = actors_.at(cpu);
    if (taken.vector == kOrderVector) {
        const auto action = actor.ordered.front();
        actor.ordered.pop_front();
        return unrecorded(*actor.cpu, [&] { action(*actor.cpu); });
    }
    if (phase_ == Phase::kPreparation || phase_ == Phase::kOver)
        return hooks_.handler(*actor.cpu, taken);
    actor.arrived.push_back(taken);
    if (actor.wants_interrupt) wake(cpu, actor.cpu->now() + kHandOver);
}

/// Frames and tables that return to the allocator may come back as something else.
void Lockstep::retire(Event event, const rmap::EventArguments& arguments) {
    if (event != Event::kPageFree) return;
    comparison_.bindings().retire_ours(Identity::kFrame, arguments[0]);
    comparison_.bindings().retire_ours(Identity::kTable,
                                       rmap::address_of(rmap::FrameNumber{arguments[0]}).value);
}

void Lockstep::emit(CpuId cpu, Event event, const rmap::EventArguments& arguments) {
    if (phase_ == Phase::kPreparation || phase_ == Phase::kOver) return;
    Actor& actor = actors_.at(cpu);
    auto by = Visibility::By::kScenario;
    if (actor.stranger)
        by = actor.in_interrupt ? Visibility::By::kStrangersInterrupt : Visibility::By::kStranger;
    if (!actor.muted && visibility_.recorded(event, arguments, by)) {
        if (phase_ == Phase::kAftermath)
            note_aftermath(actor, event, arguments);
        else
            match(actor, event, arguments);
    } else if (phase_ == Phase::kReplay && !actor.muted && Visibility::resumes(event)) {
        await_event_turn(actor, event);
    }
    retire(event, arguments);
    actor.calls().record(event, arguments);
}

void Lockstep::match(Actor& actor, Event event, const rmap::EventArguments& arguments) {
    if (!(actor.in_interrupt ? await_turn(actor) : await_event_turn(actor, event))) return;
    const auto difference = comparison_.difference(script_.next(), event, arguments, actor.calls());
    if (!difference.empty()) {
        note_mismatch(actor, difference);
        return note_aftermath(actor, event, arguments);
    }
    ++predicted_;
    accounted_for(*actor.cpu);
}

// ---- differences ----

void Lockstep::note_mismatch(const Actor& actor, const std::string& what) {
    mismatch_ = Mismatch{what, actor.cpu->id(), script_.done() ? nullptr : &script_.next(), {}};
    phase_ = Phase::kAftermath;
}

/// The CPU that went wrong goes on for a few events, so that they can be shown.
void Lockstep::note_aftermath(Actor& actor, Event event, const rmap::EventArguments& arguments) {
    if (actor.cpu->id() != mismatch_->cpu) throw ReplayStopped{};
    mismatch_->ours.push_back(event_text(event, arguments));
    if (mismatch_->ours.size() == kShown) throw ReplayStopped{};
}

void Lockstep::fail(rmap::Cpu& cpu, const std::string& what) {
    note_mismatch(actors_.at(cpu.id()), what);
    throw ReplayStopped{};
}

Mismatch Lockstep::standstill() const {
    const CaptureEvent& next = script_.next();
    const Actor& actor = actors_.at(next.cpu);
    return {actor.wants_interrupt ? "our CPU was sent no interrupt"
                                  : "our CPU waits for something that has not happened",
            next.cpu,
            &next,
            {}};
}

}  // namespace mmusim::platform
