// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "platform/oracle/bounded_map.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Which address spaces have notifiers (mm_has_notifiers), as far as the stream shows: from the
/// registration of a client, or from the first call to clients, which would not come otherwise. An
/// mm that had notifiers once has them until it dies.
class NotifiedMms {
public:
    static std::vector<rmap::Event> events() {
        using rmap::Event;
        return {Event::kMnRegister,        Event::kMnStart,           Event::kMnEnd,
                Event::kMnInvalidateRange, Event::kMnClearFlushYoung, Event::kMnClearYoung};
    }

    /// Takes note of its own events and ignores others.
    void on_record(const rmap::EventRecord& record) {
        switch (record.event) {
            case rmap::Event::kMnRegister:
                mms_.at(record.arguments[1]) = true;
                break;
            case rmap::Event::kMnStart:
            case rmap::Event::kMnEnd:
            case rmap::Event::kMnInvalidateRange:
            case rmap::Event::kMnClearFlushYoung:
            case rmap::Event::kMnClearYoung:
                mms_.at(record.arguments[0]) = true;
                break;
            default:
                break;
        }
    }

    bool has(rmap::MmId mm) { return mms_.find(mm) != nullptr; }

private:
    BoundedMap<rmap::MmId, bool> mms_;
};

}  // namespace mmusim::platform
