// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ12: try_to_unmap has discarded a clean lazyfree page although somebody else, such as direct
/// I/O through get_user_pages, held a reference: it looks at the entry and the page, not at the
/// reference count. Reclaim finds that out when it cannot freeze the page, and keeps it; but the
/// process gets a zeroed one at its next touch, and what was or will be written into the old one is
/// lost.
///
/// Counts the anonymous pages of which shrink_page_list has cleared the last entry and put nothing
/// in its place, and which it then has not freed. The window goes from the clear to the end of the
/// list.
class PinnedLazyfreeMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    using Pfn = std::uint64_t;
    /// A try_to_unmap that has not returned.
    struct Unmap {
        Pfn pfn = 0;
        bool anon = false;
        std::optional<rmap::EventRecord> cleared{};  ///< with nothing in its place so far
        std::optional<rmap::EventRecord> discarded{};
    };
    struct List {
        std::optional<Unmap> unmap{};
        std::map<Pfn, rmap::EventRecord> discarded{};  ///< and not freed; the clear
    };

    static void advance(Unmap& unmap, const rmap::EventRecord& record);
    void finish_list(const rmap::EventRecord& record, Occurrences& occurrences);

    std::map<rmap::ActorId, List> lists_;  ///< by CPU in shrink_page_list
};

}  // namespace mmusim::platform
