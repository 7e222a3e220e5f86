// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n7_retry_protocol.hpp"

#include <fmt/format.h>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::EventRecord;

namespace {

rmap::PageNumber page_at(const EventRecord& record) {
    return rmap::page_of(rmap::VirtAddr{record.arguments[2]});
}

}  // namespace

std::vector<Event> RetryProtocolMonitor::events() const {
    return {Event::kClientCount, Event::kKvmSequenceRead, Event::kKvmHvaToPfn,
            Event::kKvmRetry,    Event::kSpteSet,         Event::kSpteClear};
}

void RetryProtocolMonitor::on_record(const EventRecord& record, Findings& findings) {
    const std::uint64_t client = record.arguments[0];
    const rmap::MmId mm = record.arguments[1];
    switch (record.event) {
        case Event::kClientCount:
            clients_.at({client, mm}) = {record.arguments[2], record.arguments[3]};
            break;
        case Event::kKvmSequenceRead:
            attempts_[{record.actor, client}] = {
                mm, page_at(record), record.arguments[3], record.time, {}};
            break;
        case Event::kKvmHvaToPfn:
            resolve(record);
            break;
        case Event::kKvmRetry:
            attempts_.erase({record.actor, client});
            break;
        case Event::kSpteClear:
            present_.erase({client, mm, page_at(record)});
            break;
        default:
            judge_set(record, findings);
            break;
    }
}

void RetryProtocolMonitor::resolve(const EventRecord& record) {
    const auto it = attempts_.find({record.actor, record.arguments[0]});
    if (it == attempts_.end()) return;
    Attempt& attempt = it->second;
    if (attempt.mm == record.arguments[1] && attempt.page == page_at(record))
        attempt.resolved = record.arguments[3];
}

void RetryProtocolMonitor::judge_set(const EventRecord& record, Findings& findings) {
    const auto [client, mm, address, spte, pfn, generation] = rmap::leading<6>(record.arguments);
    static_cast<void>(spte);
    const Place place{client, mm, page_at(record)};
    const std::uint64_t* present = present_.find(place);
    const bool same = present && *present == pfn;
    present_.at(place) = pfn;
    if (same) return;

    findings.judge();
    const auto it = attempts_.find({record.actor, client});
    const bool begun =
        it != attempts_.end() && it->second.mm == mm && it->second.page == page_at(record);
    const std::string what = missing(record, begun ? &it->second : nullptr);
    if (!what.empty())
        findings.breach(record,
                        fmt::format("client {} made an entry for mm {} va {} {}", client, mm,
                                    hex(address), what),
                        begun ? it->second.read : record.time,
                        translation_text(mm, {address}, {pfn}, generation));
    if (begun) attempts_.erase(it);
}

std::string RetryProtocolMonitor::missing(const EventRecord& record, const Attempt* attempt) {
    if (!attempt) return "without having read its sequence";
    if (!attempt->resolved) return "without having resolved the page after it read its sequence";
    if (*attempt->resolved != record.arguments[4])
        return fmt::format("with another page than it had resolved, pfn {}",
                           hex(*attempt->resolved));
    const ClientCount* sections = clients_.find({record.arguments[0], record.arguments[1]});
    if (!sections) return {};  // no section yet
    if (sections->count != 0)
        return fmt::format("while its count of open sections was {}", sections->count);
    if (sections->sequence != attempt->sequence)
        return fmt::format("after its sequence went from {} to {}", attempt->sequence,
                           sections->sequence);
    return {};
}

}  // namespace mmusim::platform
