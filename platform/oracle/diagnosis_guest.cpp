// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "platform/oracle/examination.hpp"

namespace mmusim::platform {

namespace {

using rmap::Event;
using rmap::EventRecord;
using rmap::Instant;

/// A section in which the host's entry was cleared.
struct OpenSection {
    rmap::VirtRange range{};
    Instant opened;
    Instant ended = rmap::kNever;
};

class GuestExamination final : public Examination {
public:
    using Examination::Examination;

private:
    Missing missing() const override;
    std::string made_again(const EventRecord& made) const;
    std::string not_flushed(const EventRecord& removed) const;
    std::string at_vcpu(const EventRecord& flush, const EventRecord& removed) const;
    std::string not_served(const EventRecord& request, const EventRecord& removed) const;

    bool is_here(const EventRecord& record) const {
        return record.arguments[1] == use().access.mm &&
               rmap::page_of(rmap::VirtAddr{record.arguments[2]}) == use().access.page;
    }
    const EventRecord* made() const;
    std::optional<OpenSection> section() const;
    const EventRecord* request(const EventRecord& flush) const;
    std::uint64_t vcpu() const;
    /// The first `event` of the vCPU from `from` on.
    const EventRecord* vcpu_next(Event event, Instant from) const;
    bool was_in_guest(Instant time) const;
};

/// The latest second-stage entry for the frame that the guest can have used.
const EventRecord* GuestExamination::made() const {
    const EventRecord* found = nullptr;
    for (const EventRecord& record : secondary().entries().all()) {
        if (record.time > use().access.time) break;
        if (record.event == Event::kSpteSet && is_here(record) &&
            record.arguments[4] == use().access.frame.value &&
            record.arguments[5] == use().access.generation)
            found = &record;
    }
    return found;
}

std::optional<OpenSection> GuestExamination::section() const {
    std::optional<OpenSection> found;
    for (const EventRecord& record : secondary().sections().all()) {
        const rmap::VirtRange range{{record.arguments[1]}, {record.arguments[2]}};
        if (record.actor != clear().actor || record.arguments[0] != clear().mm) continue;
        if (record.event == Event::kMnStartRet) {
            const bool refused = record.arguments[3] != 0;
            if (record.time <= clear().time && !refused && range.contains(address()))
                found = OpenSection{range, record.time, rmap::kNever};
        } else if (found && found->range == range && found->ended == rmap::kNever) {
            if (record.time < clear().time)
                found.reset();
            else
                found->ended = record.time;
        }
    }
    return found;
}

Missing GuestExamination::missing() const {
    const EventRecord* entry = made();
    if (!entry)
        return secondary().entries().complete_from(Instant{})
                   ? fmt::format("mis-tagged: no second-stage entry of {} led to the frame",
                                 where())
                   : dropped();
    if (std::string again = made_again(*entry); !again.empty()) return again;

    const auto& records = secondary().entries().all();
    const auto removed = std::find_if(records.begin(), records.end(), [&](const EventRecord& r) {
        return r.event == Event::kSpteClear && r.time >= entry->time && is_here(r);
    });
    if (removed == records.end() || removed->time > horizon())
        return fmt::format("the second-stage entry of {} was not removed before {} at {}", where(),
                           end_name(), text(use().end.time));
    if (removed->time > use().end.time)
        return fmt::format("the second-stage entry of {} was removed at {}, {}", where(),
                           text(removed->time), after_end(removed->time));
    return not_flushed(*removed);
}

std::string GuestExamination::made_again(const EventRecord& made) const {
    const auto in = section();
    if (!in || made.time < in->opened) return {};
    if (made.time < in->ended)
        return fmt::format(
            "the second-stage entry of {} was made again at {}, inside the section {} that was "
            "open since {}",
            where(), text(made.time), text(in->range), text(in->opened));
    const EventRecord* lookup = nullptr;
    for (const EventRecord& record : secondary().entries().all())
        if (record.event == Event::kKvmHvaToPfn && record.actor == made.actor &&
            record.time <= made.time && is_here(record))
            lookup = &record;
    if (!lookup || lookup->time > clear().time) return {};
    return fmt::format(
        "the second-stage entry of {} was made again at {} after a lookup at {}, older than the "
        "end of the section {} at {}",
        where(), text(made.time), text(lookup->time), text(in->range), text(in->ended));
}

std::string GuestExamination::not_flushed(const EventRecord& removed) const {
    if (!secondary().flushes().complete_from(removed.time)) return dropped();
    for (const EventRecord& record : secondary().flushes().all()) {
        if (record.time > horizon()) break;
        if (record.event != Event::kKvmFlushRemoteTlbs || record.time < removed.time ||
            record.arguments[0] != use().access.vm)
            continue;
        if (record.time > use().end.time)
            return fmt::format("kvm_flush_remote_tlbs came at {}, {}", text(record.time),
                               after_end(record.time));
        return at_vcpu(record, removed);
    }
    return fmt::format(
        "no kvm_flush_remote_tlbs followed the removal of the second-stage entry of "
        "{} at {}",
        where(), text(removed.time));
}

/// The vCPU that the core ran when it used the translation.
std::uint64_t GuestExamination::vcpu() const {
    std::uint64_t found = ~std::uint64_t{0};
    for (const EventRecord& record : secondary().vcpus(use().access.vm).all()) {
        if (record.time > use().access.time) break;
        if (record.event == Event::kKvmEntry && record.actor == use().agent)
            found = record.arguments[1];
    }
    return found;
}

const EventRecord* GuestExamination::request(const EventRecord& flush) const {
    for (const EventRecord& record : secondary().flushes().all()) {
        if (record.actor != flush.actor || record.time < flush.time) continue;
        if (record.event == Event::kKvmFlushRemoteTlbsRet) break;
        if (record.event == Event::kKvmMakeRequest && record.arguments[0] == use().access.vm &&
            record.arguments[1] == vcpu())
            return &record;
    }
    return nullptr;
}

const EventRecord* GuestExamination::vcpu_next(Event event, Instant from) const {
    for (const EventRecord& record : secondary().vcpus(use().access.vm).all())
        if (record.event == event && record.time >= from && record.arguments[1] == vcpu())
            return &record;
    return nullptr;
}

bool GuestExamination::was_in_guest(Instant time) const {
    bool in = false;
    for (const EventRecord& record : secondary().vcpus(use().access.vm).all()) {
        if (record.time >= time) break;
        if (record.arguments[1] != vcpu()) continue;
        if (record.event == Event::kKvmEntry) in = true;
        if (record.event == Event::kVmExit) in = false;
    }
    return in;
}

std::string GuestExamination::at_vcpu(const EventRecord& flush, const EventRecord& removed) const {
    if (!secondary().vcpus(use().access.vm).complete_from(removed.time)) return dropped();
    if (vcpu() == ~std::uint64_t{0})
        return fmt::format("{} used it without having entered VM {}", agent(), use().access.vm);
    const EventRecord* asked = request(flush);
    if (!asked)
        return fmt::format("kvm_flush_remote_tlbs at {} left no request for vCPU {}",
                           text(flush.time), vcpu());
    const EventRecord* exit = vcpu_next(Event::kVmExit, asked->time);
    const bool stayed = was_in_guest(asked->time) && (!exit || exit->time > use().access.time);
    if (!stayed) return not_served(*asked, removed);
    const bool kicked = asked->arguments[3] != 0;
    if (kicked && exit)
        return fmt::format("vCPU {} left the guest at {}, {}", vcpu(), text(exit->time),
                           after_end(exit->time));
    return fmt::format("kvm_flush_remote_tlbs at {} did not stop vCPU {}", text(flush.time),
                       vcpu());
}

std::string GuestExamination::not_served(const EventRecord& request,
                                         const EventRecord& removed) const {
    const EventRecord* served = vcpu_next(Event::kKvmTlbFlush, request.time);
    if (!served || served->time > use().access.time) {
        const EventRecord* entry = vcpu_next(Event::kKvmEntry, request.time);
        return fmt::format("the request of vCPU {} at {} was not served before its next entry{}",
                           vcpu(), text(request.time),
                           entry ? " at " + text(entry->time) : std::string());
    }
    if (use().access.filled >= served->time)
        return fmt::format(
            "filled at {} from the second-stage entry that was removed at {}, after vCPU {} had "
            "flushed at {}",
            text(use().access.filled), text(removed.time), vcpu(), text(served->time));
    return fmt::format("mis-tagged: vCPU {} flushed at {} and kept the entry", vcpu(),
                       text(served->time));
}

}  // namespace

std::unique_ptr<Examination> examine_guest(const StaleUse& use, const Histories& histories,
                                           const ActorName& actor_name) {
    return std::make_unique<GuestExamination>(use, histories, actor_name);
}

}  // namespace mmusim::platform
