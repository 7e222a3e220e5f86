// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n19_secondary_aging.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/sections.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

/// Whether `ask`, a clear_flush_young, covers the address of `test`, a ptep_clear_flush_young.
bool covers(const EventRecord& ask, const EventRecord& test) {
    return section_mm(ask) == test.arguments[0] && section_range(ask).contains({test.arguments[1]});
}

}  // namespace

std::vector<Event> SecondaryAgingMonitor::events() const {
    return united({NotifiedMms::events(),
                   {Event::kPageReferenced, Event::kPageReferencedRet, Event::kPageReferencedOne,
                    Event::kPageReferencedOneRet, Event::kTryToUnmapOne, Event::kTryToUnmapOneRet,
                    Event::kPtepClearFlushYoung, Event::kPtepClearFlushYoungRet,
                    Event::kMnClearFlushYoungRet, Event::kPageVmaMappedWalk, Event::kPtlUnlock}});
}

void SecondaryAgingMonitor::on_record(const EventRecord& record, Findings& findings) {
    mms_.on_record(record);
    Cpu& cpu = cpus_[record.actor];
    const bool yes = record.arguments[0] != 0;
    switch (record.event) {
        case Event::kPageReferenced:
            cpu.visits = cpu.used_visits = 0;
            cpu.asked_visits = false;
            break;
        case Event::kPageReferencedOne:
        case Event::kTryToUnmapOne:
            cpu.used = cpu.asked = false;
            break;
        case Event::kPtepClearFlushYoung:
            test(record, cpu, findings);
            break;
        case Event::kPtepClearFlushYoungRet:
            if (cpu.entry) cpu.entry->cleared = true;
            cpu.used = cpu.used || yes;
            break;
        case Event::kMnClearFlushYoung:
            ask(record, cpu);
            break;
        case Event::kMnClearFlushYoungRet:
            cpu.used = cpu.used || (cpu.asking && yes);
            cpu.asking = false;
            break;
        case Event::kPageVmaMappedWalk:
        case Event::kPtlUnlock:
            leave(record, cpu, findings);
            break;
        case Event::kPageReferencedOneRet:
            leave(record, cpu, findings);
            ++cpu.visits;
            cpu.used_visits += cpu.used;
            cpu.asked_visits = cpu.asked_visits || cpu.asked;
            break;
        case Event::kTryToUnmapOneRet:
            leave(record, cpu, findings);
            judge_unmap(record, cpu, findings);
            break;
        case Event::kPageReferencedRet:
            judge_count(record, cpu, findings);
            break;
        default:
            break;
    }
}

void SecondaryAgingMonitor::test(const EventRecord& record, Cpu& cpu, Findings& findings) {
    if (cpu.entry) leave(record, cpu, findings);
    const bool early = cpu.early && covers(*cpu.early, record);
    cpu.entry = Entry{record, false, false, early};
    cpu.early.reset();
}

void SecondaryAgingMonitor::ask(const EventRecord& record, Cpu& cpu) {
    cpu.asking = false;
    if (!cpu.entry || !covers(record, cpu.entry->record)) {
        cpu.early = record;
    } else if (!cpu.entry->cleared) {
        cpu.entry->asked_early = true;
    } else {
        cpu.entry->asked = cpu.asked = cpu.asking = true;
    }
}

/// The page-table lock is dropped, or the walk has come to the next entry.
void SecondaryAgingMonitor::leave(const EventRecord& record, Cpu& cpu, Findings& findings) {
    const std::optional<Entry> entry = cpu.entry;
    cpu.entry.reset();
    cpu.early.reset();
    if (!entry || !mms_.has(entry->record.arguments[0])) return;
    findings.judge();
    if (entry->asked) return;
    findings.breach(
        record,
        fmt::format("clear_flush_young of mm {} va {} {} at {}", entry->record.arguments[0],
                    hex(entry->record.arguments[1]),
                    entry->asked_early ? "came before the CPU's accessed bit was cleared"
                                       : "did not follow the clearing of the CPU's accessed bit",
                    text(entry->record.time)),
        entry->record.time);
}

void SecondaryAgingMonitor::judge_unmap(const EventRecord& record, const Cpu& cpu,
                                        Findings& findings) {
    if (!cpu.asked) return;
    findings.judge();
    if (cpu.used && record.arguments[0] != 0)
        findings.breach(record, "try_to_unmap_one did not stop at a page that was in use",
                        record.time);
}

void SecondaryAgingMonitor::judge_count(const EventRecord& record, const Cpu& cpu,
                                        Findings& findings) {
    if (!counts_all_ || !cpu.asked_visits) return;
    findings.judge();
    const std::uint64_t counted = record.arguments[0];
    if (counted != cpu.used_visits)
        findings.breach(record,
                        fmt::format("page_referenced counted {} VMAs, but {} of {} had used the "
                                    "page",
                                    counted, cpu.used_visits, cpu.visits),
                        record.time);
}

}  // namespace mmusim::platform
