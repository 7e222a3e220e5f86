// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/diagnosis.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <vector>

namespace mmusim::platform {

namespace {

using rmap::Event;
using rmap::Instant;

constexpr char kDropped[] = "unknown: history dropped";

bool is_batch(const FlushRound& round) { return round.what == Event::kArchTlbbatchFlush; }

bool in_word(std::uint64_t word, rmap::ActorId cpu) { return cpu < 64 && (word >> cpu & 1) != 0; }

/// One look through the history for one use.
class Examination {
public:
    Examination(const StaleUse& use, const FlushHistory& history, const ActorName& actor_name)
        : use_(use),
          history_(history),
          cpu_(actor_name(use.agent)),
          address_(rmap::address_of(use.access.page)),
          horizon_(use.access.time + kHindsight) {}

    Diagnosis run() {
        find_clear();
        if (!clear_) return {use_.end.operation, no_clear()};
        return {clear_->operation, missing()};
    }

private:
    /// What the agent's CPU did after a round began.
    struct Response {
        const FlushAct* invalidated = nullptr;  ///< covering the address, at any later time
        const FlushAct* narrow = nullptr;       ///< not covering it, during the round
        const FlushAct* acknowledged = nullptr;
        const FlushAct* handled = nullptr;
        const FlushAct* current = nullptr;  ///< decided that there was nothing to do
    };

    std::string end_name() const {
        return use_.end.kind == FrameEndKind::kFreed ? "the free" : "the hand-over of its content";
    }
    std::string where() const {
        return fmt::format("mm {} va {}", clear_->mm, hex(address_.value));
    }

    void find_clear();
    std::string no_clear() const;
    std::string missing() const;
    std::string too_late(const FlushRound& round) const;
    std::string at_cpu(const FlushRound& round) const;
    std::string without_invalidation(const FlushRound& round, const Response& response) const;
    std::vector<const FlushRound*> rounds() const;
    Response respond(const FlushRound& round) const;

    const StaleUse& use_;
    const FlushHistory& history_;
    const std::string cpu_;
    const rmap::VirtAddr address_;
    const Instant horizon_;
    const PteClear* clear_ = nullptr;
};

/// The last clear before the end of the frame's generation; failing that, the first one after it.
void Examination::find_clear() {
    const PteClear* other_mm = nullptr;
    for (const PteClear& clear : history_.clears().entries()) {
        if (clear.time > horizon_) break;
        if (clear.frame != use_.access.frame || clear.generation != use_.access.generation ||
            clear.page != use_.access.page)
            continue;
        const PteClear*& kept = clear.mm == use_.access.mm ? clear_ : other_mm;
        if (!kept || clear.time <= use_.end.time) kept = &clear;
    }
    if (!clear_) clear_ = other_mm;
}

std::string Examination::no_clear() const {
    if (history_.clears().dropped_until() > 0) return kDropped;
    return fmt::format("the PTE of mm {} va {} was not cleared before {} at {}", use_.access.mm,
                       hex(address_.value), end_name(), text(use_.end.time));
}

/// The rounds that could have removed the translation, begun after its PTE was cleared.
std::vector<const FlushRound*> Examination::rounds() const {
    std::vector<const FlushRound*> result;
    for (const FlushRound& round : history_.rounds().entries()) {
        if (round.time > horizon_) break;
        if (round.position < clear_->position) continue;
        const bool of_mm = !is_batch(round) && round.mm == clear_->mm;
        const bool of_batch =
            is_batch(round) && clear_->how == Event::kPteClearDefer && round.actor == clear_->actor;
        if (of_mm || of_batch) result.push_back(&round);
    }
    return result;
}

std::string Examination::missing() const {
    if (clear_->time > use_.end.time)
        return fmt::format("the PTE of {} was cleared at {}, {} after {}", where(),
                           text(clear_->time), text(clear_->time - use_.end.time), end_name());
    if (clear_->mm != use_.access.mm)
        return fmt::format("mis-tagged: used in mm {}, but what was cleared is of mm {}",
                           use_.access.mm, clear_->mm);
    if (history_.rounds().dropped_until() > clear_->position) return kDropped;

    const FlushRound* narrow = nullptr;
    const FlushRound* late = nullptr;
    for (const FlushRound* round : rounds()) {
        if (!round->range.contains(address_)) {
            if (!narrow) narrow = round;
        } else if (round->time <= use_.end.time) {
            return at_cpu(*round);
        } else if (!late) {
            late = round;
        }
    }
    if (narrow && narrow->time <= use_.end.time)
        return fmt::format("flush_tlb_mm_range {} at {} did not cover {}", text(narrow->range),
                           text(narrow->time), where());
    if (late) return too_late(*late);
    return fmt::format("no flush was issued for {} between its clear at {} and {} at {}", where(),
                       text(clear_->time), end_name(), text(use_.end.time));
}

std::string Examination::too_late(const FlushRound& round) const {
    return fmt::format("{} came at {}, {} after {}",
                       is_batch(round) ? "the batch flush" : "flush_tlb_mm_range", text(round.time),
                       text(round.time - use_.end.time), end_name());
}

Examination::Response Examination::respond(const FlushRound& round) const {
    Response response;
    const auto keep_first = [](const FlushAct*& first, const FlushAct& act) {
        if (!first) first = &act;
    };
    for (const FlushAct& act : history_.acts(use_.agent).entries()) {
        if (act.time > horizon_) break;
        if (act.position < round.position) continue;
        const bool during = act.position < round.end_position;
        const bool of_mm = act.mm == clear_->mm || act.mm == 0;
        if (act.what == Event::kTlbInvalidated && of_mm && act.range.contains(address_))
            keep_first(response.invalidated, act);
        else if (!during)
            continue;
        else if (act.what == Event::kTlbInvalidated)
            keep_first(response.narrow, act);
        else if (act.what == Event::kCallFunctionAck && act.number == round.actor)
            keep_first(response.acknowledged, act);
        else if (act.what == Event::kFlushTlbFunc && of_mm)
            keep_first(response.handled, act);
        else if (act.what == Event::kTlbFlush && act.number == 0)
            keep_first(response.current, act);
    }
    return response;
}

std::string Examination::at_cpu(const FlushRound& round) const {
    if (history_.acts(use_.agent).dropped_until() > round.position) return kDropped;
    const Response response = respond(round);
    const FlushAct* invalidated = response.invalidated;
    const bool took_part = response.acknowledged || response.handled || response.current;
    if (!invalidated || (invalidated->position > round.end_position && !took_part))
        return without_invalidation(round, response);

    if (use_.access.filled >= invalidated->time)
        return fmt::format(
            "filled at {} from the PTE that was cleared at {}, after {} had "
            "invalidated {} at {}",
            text(use_.access.filled), text(clear_->time), cpu_, text(invalidated->range),
            text(invalidated->time));
    if (invalidated->time < use_.access.time)
        return fmt::format("mis-tagged: {} invalidated {} of mm {} at {} and kept the entry", cpu_,
                           text(invalidated->range), invalidated->mm, text(invalidated->time));
    if (response.acknowledged && response.acknowledged->time < invalidated->time)
        return fmt::format("{} acknowledged at {} but invalidated at {}", cpu_,
                           text(response.acknowledged->time), text(invalidated->time));
    return fmt::format("{} invalidated at {}, {} after {}", cpu_, text(invalidated->time),
                       text(rmap::time_until(use_.end.time, invalidated->time)), end_name());
}

std::string Examination::without_invalidation(const FlushRound& round,
                                              const Response& response) const {
    if (response.narrow)
        return fmt::format("{} invalidated {} of mm {} at {}, which does not cover {}", cpu_,
                           text(response.narrow->range), response.narrow->mm,
                           text(response.narrow->time), where());
    if (response.current)
        return fmt::format("{} took its tlb_gen for current at {} and invalidated nothing", cpu_,
                           text(response.current->time));
    if (response.handled || response.acknowledged) {
        const FlushAct& act = response.acknowledged ? *response.acknowledged : *response.handled;
        return fmt::format("{} {} at {} without invalidating", cpu_,
                           response.acknowledged ? "acknowledged" : "handled the request",
                           text(act.time));
    }
    if (use_.agent == round.actor)
        return fmt::format("{} did not flush its own TLB in the flush it began at {}", cpu_,
                           text(round.time));
    if (in_word(round.lazy, use_.agent))
        return fmt::format("{} was left out of the shootdown at {} as lazy", cpu_,
                           text(round.time));
    if (round.cpumask && use_.agent < 64 && !in_word(*round.cpumask, use_.agent))
        return fmt::format("{} was not in {} {} of the flush at {}", cpu_,
                           is_batch(round) ? "the batch's cpumask" : "mm_cpumask",
                           hex(*round.cpumask), text(round.time));
    return fmt::format("{} was in {} but was not a target of the shootdown at {}", cpu_,
                       is_batch(round) ? "the batch's cpumask" : "mm_cpumask", text(round.time));
}

}  // namespace

Diagnosis diagnose(const StaleUse& use, const FlushHistory& history, const ActorName& actor_name) {
    return Examination(use, history, actor_name).run();
}

}  // namespace mmusim::platform
