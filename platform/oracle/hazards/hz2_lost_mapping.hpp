// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ2: try_to_unmap_one has cleared the entry of an anonymous page that is swap-backed and not in
/// the swap cache, or the other way round. It warns, once, and gives up: the entry stays empty, and
/// map count, reference and counter stay as they were. The content of the mapping is lost, and the
/// page can never become unmapped.
///
/// Counts the visits that end with an entry cleared, nothing in its place, and its mapping counted.
class LostMappingMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    /// By CPU in try_to_unmap_one: the clear of which neither has been seen.
    std::map<rmap::ActorId, std::optional<rmap::EventRecord>> visits_;
};

}  // namespace mmusim::platform
