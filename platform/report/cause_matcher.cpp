// SPDX-License-Identifier: Apache-2.0
#include "platform/report/cause_matcher.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

/// "cpumask" is the first word of a mask, so it cannot say that a later CPU is not in it.
constexpr std::uint64_t kCpusInMask = 64;

bool in_mask(std::uint64_t mask, std::uint64_t agent) {
    return agent >= kCpusInMask || (mask >> agent & 1) != 0;
}

}  // namespace

std::uint64_t CauseMatcher::Field::of(const EventRecord& record) const {
    switch (kind) {
        case Kind::kAgent:
            return record.actor;
        case Kind::kOperation:
            return record.operation;
        case Kind::kArgument:
            break;
    }
    return record.arguments[index];
}

CauseMatcher::CauseMatcher() {
    for (const CauseRule& row : cause_table()) {
        const std::size_t number = rules_.size();
        rules_.push_back(compile(row));
        roles_[static_cast<std::size_t>(row.from)].push_back({number, std::nullopt});
        for (std::size_t which = 0; which < row.to.size(); ++which)
            if (row.to[which])
                roles_[static_cast<std::size_t>(*row.to[which])].push_back({number, which});
    }
}

CauseMatcher::Field CauseMatcher::field(Event event, std::string_view name) {
    if (name == "agent") return {Field::Kind::kAgent};
    if (name == "operation") return {Field::Kind::kOperation};
    const auto index = argument_index(event, name);
    MMUSIM_CHECK(index, fmt::format("{} has an argument {}, which a cause is matched by",
                                    rmap::info(event).name, name));
    return {Field::Kind::kArgument, *index};
}

CauseMatcher::Rule CauseMatcher::compile(const CauseRule& row) {
    Rule rule{&row, {}, {}, {}};
    for (const std::string_view text : words(row.match)) {
        const std::size_t equals = text.find('=');
        const std::string_view from = text.substr(0, equals);
        const std::string_view to =
            equals == std::string_view::npos ? from : text.substr(equals + 1);
        Term term{field(row.from, from), {}, from == "cpumask"};
        for (std::size_t which = 0; which < row.to.size(); ++which)
            if (row.to[which]) term.to[which] = field(*row.to[which], to);
        rule.terms.push_back(term);
    }
    if (!row.when.empty()) rule.when = field(row.from, row.when).index;
    return rule;
}

bool CauseMatcher::concerns(Event event) const {
    return !roles_[static_cast<std::size_t>(event)].empty();
}

const std::vector<Arrow>& CauseMatcher::on_record(const EventRecord& record) {
    arrows_.clear();
    for (const Role& role : roles_[static_cast<std::size_t>(record.event)]) {
        if (role.effect)
            take(rules_[role.rule], record, *role.effect);
        else
            remember(rules_[role.rule], record);
    }
    return arrows_;
}

void CauseMatcher::remember(Rule& rule, const EventRecord& cause) {
    if (rule.when && cause.arguments[*rule.when] == 0) return;
    auto& waiting = rule.waiting;
    // Who calls others waits for them, so nothing of its last call is under way any more.
    if (rule.row->take == Take::kEachTarget)
        waiting.erase(
            std::remove_if(waiting.begin(), waiting.end(),
                           [&](const Waiting& w) { return w.cause.actor == cause.actor; }),
            waiting.end());
    waiting.push_back({cause, {}});
    if (waiting.size() > kMostWaiting) waiting.pop_front();
}

bool CauseMatcher::holds(const Term& term, const EventRecord& cause, const EventRecord& effect,
                         std::size_t which) {
    const std::uint64_t from = term.from.of(cause);
    const std::uint64_t to = term.to[which].of(effect);
    return term.mask ? in_mask(from, to) : from == to;
}

bool CauseMatcher::matches(const Rule& rule, const Waiting& waiting, const EventRecord& effect,
                           std::size_t which) {
    const auto& served = waiting.served;
    if (std::find(served.begin(), served.end(), effect.actor) != served.end()) return false;
    return std::all_of(rule.terms.begin(), rule.terms.end(),
                       [&](const Term& term) { return holds(term, waiting.cause, effect, which); });
}

void CauseMatcher::take(Rule& rule, const EventRecord& effect, std::size_t which) {
    for (auto it = rule.waiting.begin(); it != rule.waiting.end();) {
        if (!matches(rule, *it, effect, which)) {
            ++it;
            continue;
        }
        arrows_.push_back({rule.row, it->cause, effect});
        if (rule.row->take == Take::kEachTarget)
            (it++)->served.push_back(effect.actor);
        else
            it = rule.waiting.erase(it);
        if (rule.row->take != Take::kAll) return;
    }
}

}  // namespace mmusim::platform
