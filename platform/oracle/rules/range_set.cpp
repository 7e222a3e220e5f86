// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/range_set.hpp"

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::VirtRange;

void RangeSet::add(VirtRange range) {
    if (!(range.start < range.end)) return;
    // Those that it touches become one with it.
    auto first = std::find_if(ranges_.begin(), ranges_.end(),
                              [&](VirtRange other) { return range.start <= other.end; });
    auto last = first;
    for (; last != ranges_.end() && last->start <= range.end; ++last)
        range = {std::min(range.start, last->start), std::max(range.end, last->end)};
    ranges_.insert(ranges_.erase(first, last), range);
}

bool RangeSet::covers(VirtRange range) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&](VirtRange own) { return own.covers(range); });
}

std::string RangeSet::text() const {
    std::string result;
    for (const VirtRange range : ranges_)
        result += (result.empty() ? "" : ", ") + platform::text(range);
    return result;
}

}  // namespace mmusim::platform
