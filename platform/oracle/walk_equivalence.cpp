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
        Event::kOperationBegin, Event::kOperationEnd,    Event::kPageFault,
        Event::kPageFaultRet,   Event::kKvmTdpPageFault, Event::kKvmTdpPageFaultRet,
        Event::kPtepClearFlush, Event::kPteClear,        Event::kPteClearDefer,
        Event::kPteSet,         Event::kMkcleanSetPte,
    };
    return kEvents;
}

void WalkEquivalence::on_record(const EventRecord& record) {
    judge_until(record.time);
    switch (record.event) {
        case Event::kOperationBegin:
        case Event::kPageFault:
        case Event::kKvmTdpPageFault:
            begin(record);
            break;
        case Event::kOperationEnd:
        case Event::kPageFaultRet:
        case Event::kKvmTdpPageFaultRet:
            end(record);
            break;
        default:
            add_change(record);
            break;
    }
}

void WalkEquivalence::begin(const EventRecord& record) {
    Open& open = open_[record.actor];
    if (open.depth++ == 0) open.begun = record.time;
}

void WalkEquivalence::end(const EventRecord& record) {
    Open& open = open_[record.actor];
    if (open.depth == 0 || --open.depth > 0) return;
    auto& changes = changes_.all();
    for (const std::uint64_t position : open.changes) {
        if (changes.empty() || position < changes.front().position) continue;
        changes[static_cast<std::size_t>(position - changes.front().position)].over = record.time;
    }
    open.changes.clear();
}

void WalkEquivalence::add_change(const EventRecord& record) {
    Open& open = open_[record.actor];
    Change change;
    change.time = record.time;
    change.actor = record.actor;
    change.operation = record.operation;
    change.mm = record.arguments[0];
    change.page = rmap::page_of(rmap::VirtAddr{record.arguments[1]});
    change.begun = open.depth > 0 ? open.begun : record.time;
    change.position = ++position_;
    open.changes.push_back(change.position);
    changes_.push(change);
}

void WalkEquivalence::judge(rmap::ActorId agent, std::uint64_t compared,
                            const std::vector<WalkDifference>& differences) {
    compared_ += compared;
    for (const auto& difference : differences)
        waiting_.try_emplace({difference.use.time.ps, agent, difference.use.page.value},
                             difference);
}

void WalkEquivalence::judge_until(Instant time) {
    while (!waiting_.empty() && waiting_.begin()->second.use.time + kHindsight < time) {
        const auto [order, difference] = *waiting_.begin();
        waiting_.erase(waiting_.begin());
        judge_now(order, difference);
    }
}

const WalkEquivalence::Change* WalkEquivalence::change_for(const models::AccessRecord& use) const {
    const Change* last = nullptr;
    for (const Change& change : changes_.all()) {
        if (change.mm != use.mm || change.page != use.page) continue;
        if (change.begun <= use.time && use.time < change.over) return &change;
        if (change.time <= use.time) last = &change;
    }
    return last;
}

void WalkEquivalence::judge_now(const Order& order, const WalkDifference& difference) {
    const auto& use = difference.use;
    const rmap::ActorId agent = std::get<rmap::ActorId>(order);
    const Change* change = change_for(use);
    if (!change && !changes_.complete_from(use.filled)) return;  // too long ago to be told
    if (change && use.time < change->over) return;

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
