// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n5_locked_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;
using rmap::MmId;

std::vector<Event> LockedSectionMonitor::events() const {
    return united({Sections::events(),
                   {Event::kMmapSemLock, Event::kMmapSemUnlock, Event::kRmapLock,
                    Event::kRmapUnlock, Event::kLockAnonVmaRead, Event::kRmapWalkAnonRet}});
}

void LockedSectionMonitor::on_record(const EventRecord& record, Findings& findings) {
    if (!judges_) return;
    Cpu& cpu = cpus_[record.actor];
    const auto& arguments = record.arguments;
    switch (record.event) {
        case Event::kMmapSemLock:
            cpu.mmap_sems.insert(arguments[0]);
            break;
        case Event::kMmapSemUnlock:
            if (const auto it = cpu.mmap_sems.find(arguments[0]); it != cpu.mmap_sems.end())
                cpu.mmap_sems.erase(it);
            judge_unlock(record, findings);
            break;
        case Event::kRmapLock:
            cpu.rmap_locks.insert(arguments[0]);
            break;
        case Event::kLockAnonVmaRead:
            cpu.page_lock_anon_vma = true;
            break;
        case Event::kRmapUnlock:
            cpu.drop_rmap_lock(arguments[0]);
            judge_unlock(record, findings);
            break;
        case Event::kRmapWalkAnonRet:
            cpu.page_lock_anon_vma = false;  // it may have found nothing to lock
            break;
        case Event::kMnStart:
            start(record, findings);
            break;
        case Event::kMnStartRet:
            if (arguments[3] != 0) cpu.end(record);
            break;
        default:
            cpu.end(record);
            break;
    }
}

bool LockedSectionMonitor::Cpu::locks(MmId mm) const {
    return mmap_sems.count(mm) > 0 || !rmap_locks.empty() || page_lock_anon_vma;
}

void LockedSectionMonitor::Cpu::drop_rmap_lock(std::uint64_t lock) {
    const bool known = rmap_locks.erase(lock) > 0;
    if (!known) page_lock_anon_vma = false;
}

void LockedSectionMonitor::Cpu::end(const EventRecord& record) {
    const auto it = std::find_if(sections.rbegin(), sections.rend(), [&](const Started& started) {
        return started.mm == section_mm(record) && started.range == section_range(record);
    });
    if (it != sections.rend()) sections.erase(std::next(it).base());
}

void LockedSectionMonitor::start(const EventRecord& record, Findings& findings) {
    findings.judge();
    Cpu& cpu = cpus_[record.actor];
    const MmId mm = section_mm(record);
    if (!cpu.locks(mm)) {
        findings.breach(record,
                        fmt::format("START of mm {} {} without mmap_sem or a lock of the reverse "
                                    "map",
                                    mm, text(section_range(record))),
                        record.time);
        return;
    }
    if (cpu.sections.size() >= Sections::kPerMm) cpu.sections.erase(cpu.sections.begin());
    cpu.sections.push_back({mm, section_range(record), record.time});
}

void LockedSectionMonitor::judge_unlock(const EventRecord& record, Findings& findings) {
    Cpu& cpu = cpus_[record.actor];
    const auto is_unlocked = [&](const Started& started) { return !cpu.locks(started.mm); };
    const auto unlocked =
        std::stable_partition(cpu.sections.begin(), cpu.sections.end(),
                              [&](const Started& started) { return !is_unlocked(started); });
    for (auto it = unlocked; it != cpu.sections.end(); ++it)
        findings.breach(
            record,
            fmt::format(
                "{} was dropped inside the section of mm {} {}",
                record.event == Event::kMmapSemUnlock ? "mmap_sem" : "the lock of the reverse map",
                it->mm, text(it->range)),
            it->time);
    cpu.sections.erase(unlocked, cpu.sections.end());
}

}  // namespace mmusim::platform
