// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/secondary_history.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

const std::vector<Event>& SecondaryHistory::events() {
    static const std::vector<Event> kEvents = {
        Event::kMnStartRet,
        Event::kMnEnd,
        Event::kClientInvalidate,
        Event::kClientInvalidateRet,
        Event::kSpteSet,
        Event::kSpteClear,
        Event::kKvmHvaToPfn,
        Event::kKvmFlushRemoteTlbs,
        Event::kKvmFlushRemoteTlbsRet,
        Event::kKvmMakeRequest,
        Event::kKvmEntry,
        Event::kVmExit,
        Event::kKvmTlbFlush,
        Event::kIotlbInvalidated,
        Event::kAtcInvalidated,
        Event::kAtsInvalidateCompletion,
    };
    return kEvents;
}

void SecondaryHistory::on_record(const EventRecord& record) {
    switch (record.event) {
        case Event::kMnStartRet:
        case Event::kMnEnd:
            sections_.push(record);
            break;
        case Event::kClientInvalidate:
        case Event::kClientInvalidateRet:
            calls_.push(record);
            break;
        case Event::kSpteSet:
        case Event::kSpteClear:
        case Event::kKvmHvaToPfn:
            entries_.push(record);
            break;
        case Event::kKvmFlushRemoteTlbs:
        case Event::kKvmFlushRemoteTlbsRet:
        case Event::kKvmMakeRequest:
            flushes_.push(record);
            break;
        case Event::kKvmEntry:
        case Event::kVmExit:
        case Event::kKvmTlbFlush:
            vcpus_.try_emplace(record.arguments[0], kKept).first->second.push(record);
            break;
        default:
            hardware_.push(record);
            break;
    }
}

const RecentRecords& SecondaryHistory::vcpus(std::uint64_t vm) const {
    static const RecentRecords kNone{1};
    const auto it = vcpus_.find(vm);
    return it == vcpus_.end() ? kNone : it->second;
}

}  // namespace mmusim::platform
