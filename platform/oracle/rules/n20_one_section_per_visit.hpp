// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/notified_mms.hpp"

namespace mmusim::platform {

/// N20: try_to_unmap_one opens and closes exactly one section for each VMA of an mm with notifiers,
/// whether it finds something there or not. With TTU_SPLIT_HUGE_PMD a section of the split may come
/// before. Visits that leave at once (a VMA that is not locked with TTU_MUNLOCK, a device page with
/// TTU_MIGRATION) have none.
class OneSectionPerVisitMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    struct Visit {
        rmap::EventRecord record;  ///< try_to_unmap_one
        unsigned starts = 0;
        unsigned ends = 0;
        bool covers = true;      ///< the address is in every section
        bool split_end = false;  ///< the first END was one without invalidate_range
        bool walked = false;
    };

    void judge(const rmap::EventRecord& record, Findings& findings);

    NotifiedMms mms_;
    std::map<rmap::ActorId, Visit> visits_;
};

}  // namespace mmusim::platform
