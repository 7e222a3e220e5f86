// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazards/hz7_unaligned_iotlb.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::VirtRange;

VirtRange svm_iotlb_block(VirtRange range) {
    const std::uint64_t pages = (range.end - range.start - 1) / rmap::kPageSize + 1;
    unsigned order = 0;
    while (order < 64 - rmap::kPageShift && (std::uint64_t{1} << order) < pages) ++order;
    return rmap::aligned_pages(range.start, order);
}

std::vector<Event> UnalignedIotlbMonitor::events() const {
    return {Event::kClientInvalidate, Event::kQiSubmit, Event::kClientInvalidateRet};
}

void UnalignedIotlbMonitor::on_record(const EventRecord& record, Occurrences& occurrences) {
    if (record.event == Event::kClientInvalidate) {
        calls_[record.actor] = record;
        return;
    }
    const auto call = calls_.find(record.actor);
    if (call == calls_.end()) return;
    if (record.event == Event::kClientInvalidateRet) {
        calls_.erase(call);
        return;
    }
    if (record.arguments[1] != static_cast<std::uint64_t>(rmap::QiType::kPasidIotlb)) return;
    const VirtRange asked = range_at(call->second, 2);
    const VirtRange block = range_at(record, 3);
    if (!(block == svm_iotlb_block(asked)) || block.end >= asked.end) return;
    occurrences.add(record, {}, [&](Occurrence& first) {
        const auto& arguments = call->second.arguments;
        first.what = fmt::format("client {} invalidated {} in the IOTLB for mm {} {}", arguments[0],
                                 text(block), arguments[1], text(asked));
    });
    calls_.erase(call);
}

}  // namespace mmusim::platform
