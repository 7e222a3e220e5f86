// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdint>
#include <vector>

#include "platform/oracle/examination.hpp"

namespace mmusim::platform {

namespace {

using rmap::Event;

bool is_batch(const FlushRound& round) { return round.what == Event::kArchTlbbatchFlush; }

bool in_word(std::uint64_t word, rmap::ActorId cpu) { return cpu < 64 && (word >> cpu & 1) != 0; }

class PrimaryExamination final : public Examination {
public:
    using Examination::Examination;

private:
    /// What the agent's CPU did after a round began.
    struct Response {
        const FlushAct* invalidated = nullptr;  ///< covering the address, at any later time
        const FlushAct* narrow = nullptr;       ///< not covering it, during the round
        const FlushAct* acknowledged = nullptr;
        const FlushAct* handled = nullptr;
        const FlushAct* current = nullptr;  ///< decided that there was nothing to do
    };

    Missing missing() const override;
    std::string too_late(const FlushRound& round) const;
    std::string at_cpu(const FlushRound& round) const;
    std::string without_invalidation(const FlushRound& round, const Response& response) const;
    std::vector<const FlushRound*> rounds() const;
    Response respond(const FlushRound& round) const;
};

/// The rounds that could have removed the translation, begun after its PTE was cleared.
std::vector<const FlushRound*> PrimaryExamination::rounds() const {
    std::vector<const FlushRound*> result;
    for (const FlushRound& round : flushes().rounds().all()) {
        if (round.time > horizon()) break;
        if (round.position < clear().position) continue;
        const bool of_mm = !is_batch(round) && round.mm == clear().mm;
        const bool of_batch =
            is_batch(round) && clear().how == Event::kPteClearDefer && round.actor == clear().actor;
        if (of_mm || of_batch) result.push_back(&round);
    }
    return result;
}

Missing PrimaryExamination::missing() const {
    if (!flushes().rounds().complete_after(clear().position)) return dropped();

    const FlushRound* narrow = nullptr;
    const FlushRound* late = nullptr;
    for (const FlushRound* round : rounds()) {
        if (!round->range.contains(address())) {
            if (!narrow) narrow = round;
        } else if (round->time <= use().end.time) {
            return at_cpu(*round);
        } else if (!late) {
            late = round;
        }
    }
    if (narrow && narrow->time <= use().end.time)
        return fmt::format("flush_tlb_mm_range {} at {} did not cover {}", text(narrow->range),
                           text(narrow->time), where());
    if (late) return too_late(*late);
    return fmt::format("no flush was issued for {} between its clear at {} and {} at {}", where(),
                       text(clear().time), end_name(), text(use().end.time));
}

std::string PrimaryExamination::too_late(const FlushRound& round) const {
    return fmt::format("{} came at {}, {}",
                       is_batch(round) ? "the batch flush" : "flush_tlb_mm_range", text(round.time),
                       after_end(round.time));
}

PrimaryExamination::Response PrimaryExamination::respond(const FlushRound& round) const {
    Response response;
    const auto keep_first = [](const FlushAct*& first, const FlushAct& act) {
        if (!first) first = &act;
    };
    for (const FlushAct& act : flushes().acts(use().agent).all()) {
        if (act.time > horizon()) break;
        if (act.position < round.position) continue;
        const bool during = act.position < round.end_position;
        const bool of_mm = act.mm == clear().mm || act.mm == 0;
        if (act.what == Event::kTlbInvalidated && of_mm && act.range.contains(address()))
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

std::string PrimaryExamination::at_cpu(const FlushRound& round) const {
    if (!flushes().acts(use().agent).complete_after(round.position)) return dropped();
    const Response response = respond(round);
    const FlushAct* invalidated = response.invalidated;
    const bool took_part = response.acknowledged || response.handled || response.current;
    if (!invalidated || (invalidated->position > round.end_position && !took_part))
        return without_invalidation(round, response);

    if (use().access.filled >= invalidated->time)
        return fmt::format(
            "filled at {} from the PTE that was cleared at {}, after {} had "
            "invalidated {} at {}",
            text(use().access.filled), text(clear().time), agent(), text(invalidated->range),
            text(invalidated->time));
    if (invalidated->time < use().access.time)
        return fmt::format("mis-tagged: {} invalidated {} of mm {} at {} and kept the entry",
                           agent(), text(invalidated->range), invalidated->mm,
                           text(invalidated->time));
    if (response.acknowledged && response.acknowledged->time < invalidated->time)
        return fmt::format("{} acknowledged at {} but invalidated at {}", agent(),
                           text(response.acknowledged->time), text(invalidated->time));
    return fmt::format("{} invalidated at {}, {}", agent(), text(invalidated->time),
                       after_end(invalidated->time));
}

std::string PrimaryExamination::without_invalidation(const FlushRound& round,
                                                     const Response& response) const {
    if (response.narrow)
        return fmt::format("{} invalidated {} of mm {} at {}, which does not cover {}", agent(),
                           text(response.narrow->range), response.narrow->mm,
                           text(response.narrow->time), where());
    if (response.current)
        return fmt::format("{} took its tlb_gen for current at {} and invalidated nothing", agent(),
                           text(response.current->time));
    if (response.handled || response.acknowledged) {
        const FlushAct& act = response.acknowledged ? *response.acknowledged : *response.handled;
        return fmt::format("{} {} at {} without invalidating", agent(),
                           response.acknowledged ? "acknowledged" : "handled the request",
                           text(act.time));
    }
    if (use().agent == round.actor)
        return fmt::format("{} did not flush its own TLB in the flush it began at {}", agent(),
                           text(round.time));
    if (in_word(round.lazy, use().agent))
        return fmt::format("{} was left out of the shootdown at {} as lazy", agent(),
                           text(round.time));
    if (round.cpumask && use().agent < 64 && !in_word(*round.cpumask, use().agent))
        return fmt::format("{} was not in {} {} of the flush at {}", agent(),
                           is_batch(round) ? "the batch's cpumask" : "mm_cpumask",
                           hex(*round.cpumask), text(round.time));
    return fmt::format("{} was in {} but was not a target of the shootdown at {}", agent(),
                       is_batch(round) ? "the batch's cpumask" : "mm_cpumask", text(round.time));
}

}  // namespace

std::unique_ptr<Examination> examine_primary(const StaleUse& use, const Histories& histories,
                                             const ActorName& actor_name) {
    return std::make_unique<PrimaryExamination>(use, histories, actor_name);
}

}  // namespace mmusim::platform
