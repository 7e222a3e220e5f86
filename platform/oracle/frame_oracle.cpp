// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/frame_oracle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using models::AccessRecord;
using rmap::Access;
using rmap::Instant;

FrameOracle::FrameOracle(const Histories& histories, const OperationNames& operations,
                         AgentNames names)
    : histories_(histories), operations_(operations), names_(std::move(names)) {}

void FrameOracle::frame_ended(rmap::FrameNumber frame, const FrameEnd& end) {
    if (frame.value >= current_.size()) current_.resize(frame.value + 1);
    rmap::Generation& current = current_[frame.value];
    MMUSIM_CHECK(end.generation >= current, "a generation of a frame ends once, and in order");
    current = end.generation + 1;
    ends_[frame].push_back(end);
}

void FrameOracle::judge(rmap::ActorId agent, const models::AccessBatch& uses) {
    checked_ += uses.size();
    const auto ended = [this](const AccessRecord& use) {
        return use.frame.value < current_.size() && use.generation < current_[use.frame.value];
    };
    if (std::none_of(uses.kinds().begin(), uses.kinds().end(), ended)) return;
    uses.for_each([&](const AccessRecord& use) {
        if (ended(use)) judge_ended(agent, use);
    });
}

void FrameOracle::judge_ended(rmap::ActorId agent, const AccessRecord& access) {
    const auto& ends = ends_.at(access.frame);
    auto end =
        std::lower_bound(ends.begin(), ends.end(), access.generation,
                         [](const FrameEnd& e, rmap::Generation g) { return e.generation < g; });
    const FrameEnd* worst = nullptr;
    for (; end != ends.end() && end->time <= access.time; ++end) {
        if (end->kind == FrameEndKind::kFreed) {
            worst = &*end;
            break;
        }
        if (!worst && access.access == Access::kWrite) worst = &*end;
    }
    if (!worst) return;
    const StaleUse use{agent, names_.device_tlb ? names_.device_tlb(agent) : rmap::kNoActor, access,
                       *worst};
    if (const std::string_view* hazard = by_hazard_.find(identity_of(use))) {
        ++hazard_uses_.at(*hazard).count;
        return;
    }
    ++uses_of(worst->kind);
    add(use);
}

FrameOracle::Order FrameOracle::order_of(const StaleUse& use) {
    return {use.access.time.ps, use.agent, use.access.frame.value};
}

FrameOracle::Identity FrameOracle::identity_of(const StaleUse& use) {
    return {use.agent, use.access.frame.value, use.access.generation, use.end.kind};
}

/// Agents are judged in the order of the host, so a later call may bring an earlier violation. The
/// earliest ones stay: an agent's own calls ascend, hence what has left never comes back.
void FrameOracle::add(const StaleUse& use) {
    const Identity identity = identity_of(use);
    if (const auto known = first_use_.find(identity); known != first_use_.end()) {
        ++found_.at(known->second).further_uses;
        return;
    }
    const Order order = order_of(use);
    if (found_.size() >= kMaxViolations) {
        const auto latest = std::prev(found_.end());
        if (latest->first < order) return;
        first_use_.erase(identity_of(latest->second.use));
        unexplained_.erase(latest->first);
        found_.erase(latest);
    }
    if (!found_.try_emplace(order, Found{use, 0, {}, {}}).second) return;
    first_use_.emplace(identity, order);
    unexplained_.insert(order);
    next_explanation_ = rmap::min(next_explanation_, use.access.time + kHindsight);
}

void FrameOracle::on_record(const rmap::EventRecord& record) {
    if (record.time > next_explanation_) explain_until(record.time);
}

void FrameOracle::explain_until(Instant time) {
    next_explanation_ = rmap::kNever;
    while (!unexplained_.empty()) {
        Found& found = found_.at(*unexplained_.begin());
        const Instant settled = found.use.access.time + kHindsight;
        if (settled >= time) {
            next_explanation_ = settled;
            return;
        }
        found.diagnosis = diagnose(found.use, histories_, names_.actor);
        found.operation_name = operations_.name(found.diagnosis.operation);
        const Order order = *unexplained_.begin();
        unexplained_.erase(unexplained_.begin());
        if (!found.diagnosis.hazard.empty()) move_to_hazard(order);
    }
}

void FrameOracle::move_to_hazard(Order order) {
    const Found found = std::move(found_.at(order));
    const std::string_view hazard = found.diagnosis.hazard;
    const std::uint64_t uses = found.further_uses + 1;
    const Identity identity = identity_of(found.use);
    found_.erase(order);
    first_use_.erase(identity);
    by_hazard_.at(identity) = hazard;
    uses_of(found.use.end.kind) -= uses;

    HazardUses& all = hazard_uses_[hazard];
    all.count += uses;
    const auto [first, is_new] = first_hazard_use_.try_emplace(hazard, order);
    if (!is_new && first->second < order) return;
    first->second = order;
    all.first = violation(found);
}

Violation FrameOracle::violation(const Found& found) const {
    const auto& [agent, device_tlb, access, end] = found.use;
    static_cast<void>(device_tlb);
    Violation result;
    result.rule = end.kind == FrameEndKind::kFreed ? kStaleTranslation : kLostWrite;
    result.time = access.time;
    result.agent = names_.translation(agent, access.access);
    result.translation =
        translation_text(access.mm, rmap::address_of(access.page), access.frame, access.generation);
    result.entry_age = rmap::time_until(access.filled, access.time);
    result.operation = found.diagnosis.operation;
    result.operation_name = found.operation_name;
    result.missing = found.diagnosis.missing;
    result.window = access.time - end.time;
    return result;
}

std::vector<Violation> FrameOracle::finish() {
    explain_until(rmap::kNever);
    std::vector<Violation> result;
    for (const auto& [order, found] : found_) {
        result.push_back(violation(found));
        if (found.further_uses > 0)
            result.back().missing += fmt::format(" (first of {} uses)", found.further_uses + 1);
    }
    return result;
}

}  // namespace mmusim::platform
