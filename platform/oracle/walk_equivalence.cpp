// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/walk_equivalence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mmusim::platform {

using models::WalkDifference;
using rmap::Event;
using rmap::EventRecord;
using rmap::Instant;

namespace {

std::string_view text(WalkDifference::What what) {
    switch (what) {
        case WalkDifference::What::kNotMapped:
            return "a walk finds nothing there";
        case WalkDifference::What::kOtherFrame:
            return "a walk finds another frame";
        case WalkDifference::What::kNotAllowed:
            return "a walk finds that the access is not allowed";
        case WalkDifference::What::kClean:
            return "a walk finds a clean PTE";
    }
    return "";
}

}  // namespace

WalkEquivalence::WalkEquivalence(const OperationNames& operations, AgentNames names)
    : operations_(operations), names_(std::move(names)) {}

const std::vector<Event>& WalkEquivalence::events() {
    static const std::vector<Event> kEvents = {
        Event::kOperationBegin, Event::kOperationEnd, Event::kPtepClearFlush, Event::kPteClear,
        Event::kPteClearDefer,  Event::kPteSet,       Event::kMkcleanSetPte};
    return kEvents;
}

void WalkEquivalence::on_record(const EventRecord& record) {
    judge_until(record.time);
    if (record.event == Event::kOperationBegin)
        ++open_[record.actor].operations;
    else if (record.event == Event::kOperationEnd)
        end_operation(record);
    else
        add_change(record);
}

void WalkEquivalence::add_change(const EventRecord& record) {
    Change change;
    change.time = record.time;
    change.actor = record.actor;
    change.operation = record.operation;
    change.mm = record.arguments[0];
    change.page = rmap::page_of(rmap::VirtAddr{record.arguments[1]});
    change.position = ++position_;
    Open& open = open_[record.actor];
    if (open.operations > 0)
        open.changes.push_back(change.position);
    else if (record.event == Event::kPteSet)  // a page fault's last step
        change.over = record.time;
    changes_.push(change);
}

void WalkEquivalence::end_operation(const EventRecord& record) {
    Open& open = open_[record.actor];
    if (open.operations == 0 || --open.operations > 0) return;
    auto& changes = changes_.all();
    for (const std::uint64_t position : open.changes) {
        if (changes.empty() || position < changes.front().position) continue;
        changes[static_cast<std::size_t>(position - changes.front().position)].over = record.time;
    }
    open.changes.clear();
}

void WalkEquivalence::judge(rmap::ActorId agent, std::uint64_t compared,
                            const std::vector<WalkDifference>& differences) {
    compared_ += compared;
    for (const auto& difference : differences)
        waiting_.try_emplace({difference.use.time.ps, agent, difference.use.page.value},
                             difference);
}

void WalkEquivalence::judge_until(Instant time) {
    while (!waiting_.empty() && waiting_.begin()->second.use.time < time) {
        const auto [order, difference] = *waiting_.begin();
        waiting_.erase(waiting_.begin());
        judge_now(order, difference);
    }
}

const WalkEquivalence::Change* WalkEquivalence::last_change(const models::AccessRecord& use) const {
    const auto& changes = changes_.all();
    const auto found = std::find_if(changes.rbegin(), changes.rend(), [&](const Change& change) {
        return change.mm == use.mm && change.page == use.page && change.time <= use.time;
    });
    return found == changes.rend() ? nullptr : &*found;
}

void WalkEquivalence::judge_now(const Order& order, const WalkDifference& difference) {
    const auto& use = difference.use;
    const rmap::ActorId agent = std::get<rmap::ActorId>(order);
    const Change* change = last_change(use);
    if (!change && !changes_.complete_from(use.filled)) return;  // too long ago to be told
    if (change && change->over > use.time) return;

    ++violated_;
    if (++uses_[{agent, use.mm, use.page.value}] > 1 || violations_.size() >= kMaxViolations)
        return;
    Violation violation;
    violation.rule = kWalkEquivalence;
    violation.time = use.time;
    violation.agent = names_.translation(agent, use.access);
    violation.translation =
        translation_text(use.mm, rmap::address_of(use.page), use.frame, use.generation);
    violation.entry_age = rmap::time_until(use.filled, use.time);
    violation.missing = text(difference.what);
    if (change) {
        violation.operation = change->operation;
        violation.operation_name = operations_.name(change->operation);
        violation.window = use.time - change->over;
        violation.missing +=
            fmt::format(": the PTE was changed at {}, and what {} did was over at {}",
                        platform::text(change->time), names_.actor(change->actor),
                        platform::text(change->over));
    } else {
        violation.missing += fmt::format(", and nobody has changed the PTE since it was read at {}",
                                         platform::text(use.filled));
    }
    violations_.emplace(order, std::move(violation));
}

std::vector<Violation> WalkEquivalence::finish() {
    judge_until(rmap::kNever);
    std::vector<Violation> result;
    for (auto& [order, violation] : violations_) {
        static_cast<void>(order);
        result.push_back(std::move(violation));
    }
    return result;
}

}  // namespace mmusim::platform
