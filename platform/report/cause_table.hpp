// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Which of the causes that match belong to an effect.
enum class Take {
    kEachTarget,  ///< the only one; a cause has one effect at every agent of its "cpumask", until
                  ///< its agent causes the next one
    kOldest,      ///< one: causes and effects come in the same order
    kAll,         ///< every one that has come since: the effect needed all of them
};
std::string_view name(Take take);

/// An event of one agent makes another agent do something.
struct CauseRule {
    std::string_view name;  ///< of the arrow
    rmap::Event from;
    /// What follows. Where there are several, the first one that comes takes the cause.
    std::array<std::optional<rmap::Event>, 3> to;
    /// Terms separated by blanks that must hold between both: "vector" is equal in both,
    /// "from=agent" is this argument of the cause and that of the effect, "cpumask=agent" finds the
    /// agent in the mask. Besides arguments there are "agent", the CPU or device, and "operation".
    std::string_view match;
    std::string_view when;  ///< argument of the cause that must not be 0; empty: always
    Take take;
    std::string_view meaning;
};

/// What causes what across agents: the one statement of it, for timelines and drawings.
const std::vector<CauseRule>& cause_table();

/// Where an event has the argument `name`; none if it has none of that name.
std::optional<std::size_t> argument_index(rmap::Event event, std::string_view name);

/// The parts of a text that are separated by blanks.
std::vector<std::string_view> words(std::string_view text);

}  // namespace mmusim::platform
