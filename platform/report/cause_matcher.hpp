// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "platform/report/cause_table.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// A cause and its effect, which is not earlier.
struct Arrow {
    const CauseRule* rule;
    rmap::EventRecord from;
    rmap::EventRecord to;
};

/// Finds what caused what in the stream of events, by the rules of the cause table. Remembers the
/// last kMostWaiting causes of each rule that have had no effect yet.
class CauseMatcher {
public:
    static constexpr std::size_t kMostWaiting = 256;

    CauseMatcher();

    /// The arrows that end with this record, in the order of the table and then of their causes.
    /// Valid until the next call.
    const std::vector<Arrow>& on_record(const rmap::EventRecord& record);

    /// Whether arrows can begin or end with such an event.
    bool concerns(rmap::Event event) const;

private:
    /// A member of a record: an argument, or one of those that every record has.
    struct Field {
        enum class Kind { kArgument, kAgent, kOperation } kind;
        std::size_t index = 0;

        std::uint64_t of(const rmap::EventRecord& record) const;
    };
    struct Term {
        Field from;
        std::array<Field, std::tuple_size_v<decltype(CauseRule::to)>> to;  ///< for each effect
        bool mask = false;                                                 ///< `from` is a CPU mask
    };
    struct Waiting {
        rmap::EventRecord cause;
        std::vector<rmap::ActorId> served;  ///< targets that have had their effect
    };
    struct Rule {
        const CauseRule* row;
        std::vector<Term> terms;
        std::optional<std::size_t> when;
        std::deque<Waiting> waiting;  ///< oldest first
    };

    static Field field(rmap::Event event, std::string_view name);
    static Rule compile(const CauseRule& row);
    static bool holds(const Term& term, const rmap::EventRecord& cause,
                      const rmap::EventRecord& effect, std::size_t which);
    static bool matches(const Rule& rule, const Waiting& waiting, const rmap::EventRecord& effect,
                        std::size_t which);
    void remember(Rule& rule, const rmap::EventRecord& cause);
    void take(Rule& rule, const rmap::EventRecord& effect, std::size_t which);

    /// A rule in which an event has a part.
    struct Role {
        std::size_t rule;
        std::optional<std::size_t> effect;  ///< which of its effects; none: the cause
    };

    std::vector<Rule> rules_;
    std::array<std::vector<Role>, rmap::kEventCount> roles_;
    std::vector<Arrow> arrows_;
};

}  // namespace mmusim::platform
