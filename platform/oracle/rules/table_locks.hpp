// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// How many page-table locks each CPU holds. A hold goes from the first lock to the last unlock.
class TableLocks {
public:
    static std::vector<rmap::Event> events() {
        return {rmap::Event::kPtlLock, rmap::Event::kPtlUnlock};
    }

    /// Takes note of its own events and ignores others. True if a hold ends with this record.
    bool on_record(const rmap::EventRecord& record) {
        if (record.event == rmap::Event::kPtlLock) {
            ++held_[record.actor];
        } else if (record.event == rmap::Event::kPtlUnlock) {
            unsigned& held = held_[record.actor];
            if (held > 0) return --held == 0;
        }
        return false;
    }

    bool held(rmap::ActorId cpu) const {
        const auto it = held_.find(cpu);
        return it != held_.end() && it->second > 0;
    }

private:
    std::map<rmap::ActorId, unsigned> held_;
};

}  // namespace mmusim::platform
