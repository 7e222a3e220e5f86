// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "platform/oracle/rules/table_locks.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// N4: START and END of a blockable section may sleep, so the CPU that calls them holds no
/// page-table lock and is not inside flush_tlb_func, which runs with interrupts off. Judges only
/// streams that show the locks. Whether an END may sleep is known from its START.
class StartMaySleepMonitor final : public Monitor {
public:
    explicit StartMaySleepMonitor(Vocabulary vocabulary)
        : judges_(shows(vocabulary, rmap::Event::kPtlLock)) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    void judge(const rmap::EventRecord& record, Findings& findings);

    const bool judges_;
    Sections sections_;
    TableLocks locks_;
    std::set<rmap::ActorId> flushing_;  ///< CPUs inside flush_tlb_func
};

}  // namespace mmusim::platform
