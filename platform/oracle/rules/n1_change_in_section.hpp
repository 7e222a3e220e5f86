// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/notified_mms.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::platform {

/// N1: in an mm with notifiers, a present entry is removed, replaced or loses a permission only
/// inside an open section that covers its address. What an entry was is known from its clear, or
/// from what the stream stored last; an entry that was not present, or of which nothing is known,
/// may change outside (none -> present, remove_migration_pte, the old value put back). Accessed
/// and dirty bits do not count. A clear is judged by itself, when it happens: one outside any
/// section breaks the rule even if the old value is put back before the page-table lock is
/// released.
class ChangeInSectionMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Place = std::pair<rmap::MmId, rmap::PageNumber>;

    void judge(const rmap::EventRecord& record, const char* change, rmap::Pte old,
               Findings& findings);

    NotifiedMms mms_;
    Sections sections_;
    BoundedMap<Place, rmap::Pte> entries_;  ///< of mms with notifiers, as last stored
};

}  // namespace mmusim::platform
