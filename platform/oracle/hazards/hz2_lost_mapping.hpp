// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ2: try_to_unmap_one has cleared the entry of an anonymous page that is swap-backed and not in
/// the swap cache, or the other way round. It warns and gives up: the entry stays empty, and map
/// count, reference and counter stay as they were. The content of the mapping is lost, and the page
/// can never become unmapped. Each swap_slot_missing_warning counts, although the kernel prints the
/// first one only.
class LostMappingMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    std::map<rmap::ActorId, rmap::EventRecord> cleared_;  ///< by CPU: its latest clear
};

}  // namespace mmusim::platform
