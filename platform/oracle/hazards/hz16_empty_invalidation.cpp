// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz16_empty_invalidation.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/sections.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

std::vector<Event> EmptyInvalidationMonitor::events() const { return {Event::kMnInvalidateRange}; }

void EmptyInvalidationMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    constexpr std::uint64_t kTop = ~std::uint64_t{0};
    const rmap::VirtRange range = section_range(record);
    if (range.start.value != kTop || range.end.value != kTop) return;
    occurrences.add(record, {}, [&](Occurrence& first) {
        first.what = fmt::format("invalidate_range of mm {} for [~0, ~0)", section_mm(record));
    });
}

}  // namespace mmusim::platform
