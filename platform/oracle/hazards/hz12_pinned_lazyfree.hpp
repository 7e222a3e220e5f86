// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ12: try_to_unmap_one has discarded a clean lazyfree page, although somebody else, such as
/// direct I/O through get_user_pages, held a reference: it looks at the entry and the page, not at
/// the reference count. Reclaim finds out when it tries to freeze the page at one reference, its
/// own, and keeps the page; but the process gets a zeroed one at its next touch, and what is
/// written into the old one is lost. Reclaim freezes no page at 1 but a lazyfree one that it has
/// unmapped.
class PinnedLazyfreeMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    std::map<rmap::ActorId, rmap::EventRecord> cleared_;  ///< by CPU: its latest clear
};

}  // namespace mmusim::platform
