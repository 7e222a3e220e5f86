// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/range_set.hpp"

#include <algorithm>

#include "platform/oracle/bounded_map.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::VirtRange;

namespace {

template <class Ranges>
auto ending_at_or_after(Ranges& ranges, rmap::VirtAddr address) {
    return std::lower_bound(ranges.begin(), ranges.end(), address,
                            [](VirtRange range, rmap::VirtAddr a) { return range.end < a; });
}

}  // namespace

void RangeSet::add(VirtRange range) {
    if (!(range.start < range.end)) return;
    // Those that it touches become one with it.
    const auto first = ending_at_or_after(ranges_, range.start);
    auto last = first;
    for (; last != ranges_.end() && last->start <= range.end; ++last)
        range = {std::min(range.start, last->start), std::max(range.end, last->end)};
    const auto place = ranges_.erase(first, last);
    if (ranges_.size() < kMonitorCapacity) ranges_.insert(place, range);
}

bool RangeSet::covers(VirtRange range) const {
    const auto own = ending_at_or_after(ranges_, range.end);
    return own != ranges_.end() && own->covers(range);
}

std::string RangeSet::text() const {
    std::string result;
    for (const VirtRange range : ranges_)
        result += (result.empty() ? "" : ", ") + platform::text(range);
    return result;
}

}  // namespace mmusim::platform
