// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "platform/oracle/hazard_monitor.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// HZ13: try_to_unmap has failed for the sake of a mapping whose entry was already gone. Another
/// CPU had cleared the entry and not yet lowered the map count; the walk saw the empty entry
/// without taking the page-table lock, under which it would have waited for both, and passed on.
///
/// Counts failures that were for that mapping alone: the map count then drops to 0. The window goes
/// from the failure to there. Needs page-table locks in the stream.
class MissedMappingMonitor final : public HazardMonitor {
public:
    explicit MissedMappingMonitor(Vocabulary vocabulary)
        : watches_(shows(vocabulary, rmap::Event::kPtlLock)) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    struct Place {
        rmap::MmId mm = 0;
        std::uint64_t address = 0;
    };
    /// A try_to_unmap that has not returned.
    struct Unmap {
        std::uint64_t pfn = 0;
        Place looks_at{};
        bool walking = false;         ///< without the lock so far
        std::vector<Place> passed{};  ///< without ever taking it
    };
    /// An entry that was cleared and is still counted.
    struct Removal {
        rmap::EventRecord clear;
        std::optional<rmap::EventRecord> failure{};  ///< of a try_to_unmap that passed it
    };

    void walk(const rmap::EventRecord& record);
    void walk_returns(const rmap::EventRecord& record);
    void unmap_returns(const rmap::EventRecord& record);
    void uncount(const rmap::EventRecord& record, Occurrences& occurrences);

    const bool watches_;
    std::map<rmap::ActorId, Unmap> unmaps_;
    std::map<rmap::ActorId, Removal> removals_;
};

}  // namespace mmusim::platform
