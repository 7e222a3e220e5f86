// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n20_one_section_per_visit.hpp"

#include <fmt/format.h>

#include "platform/oracle/rules/sections.hpp"
#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

// include/linux/rmap.h of v5.0, as captures have them; later kernels keep the values of these.
constexpr std::uint64_t kTtuMigration = 0x1;
constexpr std::uint64_t kTtuMunlock = 0x2;
constexpr std::uint64_t kTtuSplitHugePmd = 0x4;

}  // namespace

std::vector<Event> OneSectionPerVisitMonitor::events() const {
    return united({NotifiedMms::events(),
                   {Event::kTryToUnmapOne, Event::kTryToUnmapOneRet, Event::kPageVmaMappedWalk}});
}

void OneSectionPerVisitMonitor::on_record(const EventRecord& record, Findings& findings) {
    mms_.on_record(record);
    if (record.event == Event::kTryToUnmapOne) {
        visits_[record.actor] = Visit{};
        visits_[record.actor].record = record;
        return;
    }
    const auto it = visits_.find(record.actor);
    if (it == visits_.end()) return;
    Visit& visit = it->second;
    const bool of_visit = section_mm(record) == visit.record.arguments[1];
    switch (record.event) {
        case Event::kMnStart:
            if (!of_visit) break;
            ++visit.starts;
            if (!section_range(record).contains({visit.record.arguments[2]})) visit.covers = false;
            break;
        case Event::kMnEnd:
            if (of_visit && ++visit.ends == 1) visit.split_end = record.arguments[3] != 0;
            break;
        case Event::kPageVmaMappedWalk:
            visit.walked = true;
            break;
        case Event::kTryToUnmapOneRet:
            judge(record, findings);
            visits_.erase(it);
            break;
        default:
            break;
    }
}

void OneSectionPerVisitMonitor::judge(const EventRecord& record, Findings& findings) {
    const Visit& visit = visits_.at(record.actor);
    const auto [pfn, mm, address, flags, unused, unused2] =
        rmap::leading<6>(visit.record.arguments);
    static_cast<void>(pfn), static_cast<void>(unused), static_cast<void>(unused2);
    if (!mms_.has(mm)) return;
    const bool nothing = visit.starts == 0 && visit.ends == 0;
    const bool left_at_once = nothing && !visit.walked && record.arguments[0] != 0 &&
                              (flags & (kTtuMunlock | kTtuMigration));
    if (left_at_once) return;
    findings.judge();
    const bool split = flags & kTtuSplitHugePmd && visit.split_end;
    const unsigned allowed = split && visit.starts == 2 ? 2 : 1;
    const std::string where = fmt::format("try_to_unmap_one of mm {} va {}", mm, hex(address));
    if (visit.starts != allowed || visit.ends != allowed)
        findings.breach(record,
                        fmt::format("{} had {} START and {} END", where, visit.starts, visit.ends),
                        visit.record.time);
    else if (!visit.covers)
        findings.breach(record, where + " opened a section that does not cover the address",
                        visit.record.time);
}

}  // namespace mmusim::platform
