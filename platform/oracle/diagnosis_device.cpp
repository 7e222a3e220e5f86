// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <utility>

#include "platform/oracle/examination.hpp"
#include "platform/oracle/hazards/hz7_unaligned_iotlb.hpp"

namespace mmusim::platform {

namespace {

using rmap::Event;
using rmap::EventRecord;
using rmap::Instant;
using rmap::VirtRange;

class DeviceExamination final : public Examination {
public:
    using Examination::Examination;

private:
    /// What a client's invalidate_range made the hardware do.
    struct Effects {
        const EventRecord* iotlb = nullptr;  ///< invalidated with the address
        const EventRecord* iotlb_narrow = nullptr;
        const EventRecord* device = nullptr;  ///< its own TLB, with the address
        const EventRecord* device_narrow = nullptr;
        const EventRecord* completion = nullptr;  ///< of that, covering the address
    };

    Missing missing() const override;
    std::string no_call() const;
    Missing in_call(const EventRecord& call) const;
    Missing not_invalidated(const EventRecord& call, const Effects& effects) const;
    std::string too_narrow(const char* what, const EventRecord& act, std::size_t range) const;
    Effects effects(const EventRecord& call) const;
    Instant return_of(const EventRecord& call) const;

    bool has_tlb() const { return use().device_tlb != use().agent; }
    bool of_mm(const EventRecord& call) const {
        return call.event == Event::kClientInvalidate && call.arguments[1] == clear().mm;
    }
};

Missing DeviceExamination::missing() const {
    if (!secondary().calls().complete_from(clear().time)) return dropped();
    for (const EventRecord& call : secondary().calls().all()) {
        if (call.time > horizon()) break;
        if (!of_mm(call) || call.time < clear().time || !range_at(call, 2).contains(address()))
            continue;
        if (call.time > use().end.time)
            return fmt::format("invalidate_range came at {}, {}", text(call.time),
                               after_end(call.time));
        return in_call(call);
    }
    return no_call();
}

std::string DeviceExamination::no_call() const {
    const EventRecord* early = nullptr;
    const EventRecord* narrow = nullptr;
    for (const EventRecord& call : secondary().calls().all()) {
        if (call.time > use().end.time) break;
        if (!of_mm(call)) continue;
        const bool covers = range_at(call, 2).contains(address());
        if (covers && call.operation == clear().operation && call.actor == clear().actor)
            early = &call;
        else if (!covers && !narrow && call.time >= clear().time)
            narrow = &call;
    }
    if (early)
        return fmt::format("invalidate_range came at {}, before the PTE of {} was cleared at {}",
                           text(early->time), where(), text(clear().time));
    if (narrow)
        return fmt::format("invalidate_range {} at {} did not cover {}", text(range_at(*narrow, 2)),
                           text(narrow->time), where());
    return fmt::format(
        "invalidate_range was not called for {} between its clear at {} and {} at "
        "{}",
        where(), text(clear().time), end_name(), text(use().end.time));
}

Instant DeviceExamination::return_of(const EventRecord& call) const {
    for (const EventRecord& record : secondary().calls().all())
        if (record.event == Event::kClientInvalidateRet && record.actor == call.actor &&
            record.time >= call.time)
            return record.time;
    return rmap::kNever;
}

DeviceExamination::Effects DeviceExamination::effects(const EventRecord& call) const {
    Effects result;
    const auto keep_first = [](const EventRecord*& first, const EventRecord& record) {
        if (!first) first = &record;
    };
    for (const EventRecord& record : secondary().hardware().all()) {
        if (record.time > horizon()) break;
        if (record.time < call.time || record.operation != call.operation) continue;
        const bool iotlb = record.event == Event::kIotlbInvalidated;
        const VirtRange range = range_at(record, iotlb ? 1 : 2);
        const bool covers = range.contains(address());
        if (iotlb)
            keep_first(covers ? result.iotlb : result.iotlb_narrow, record);
        else if (record.actor != use().device_tlb)
            continue;
        else if (record.event == Event::kAtcInvalidated)
            keep_first(covers ? result.device : result.device_narrow, record);
        else if (covers)
            keep_first(result.completion, record);
    }
    return result;
}

std::string DeviceExamination::too_narrow(const char* what, const EventRecord& act,
                                          std::size_t range) const {
    return fmt::format("{} was invalidated for {} at {}, which does not cover {}", what,
                       text(range_at(act, range)), text(act.time), where());
}

Missing DeviceExamination::not_invalidated(const EventRecord& call, const Effects& effects) const {
    if (!effects.iotlb && effects.iotlb_narrow) {
        const bool is_as_in_v5_0 =
            range_at(*effects.iotlb_narrow, 1) == svm_iotlb_block(range_at(call, 2));
        return {too_narrow("the IOTLB", *effects.iotlb_narrow, 1), is_as_in_v5_0 ? "HZ7" : ""};
    }
    if (!effects.iotlb)
        return fmt::format("the IOTLB was not invalidated for the invalidate_range at {}",
                           text(call.time));
    if (effects.device_narrow) return too_narrow("the device TLB", *effects.device_narrow, 2);
    return fmt::format("the IOTLB was invalidated at {} but the device TLB of {} was not",
                       text(effects.iotlb->time), agent());
}

Missing DeviceExamination::in_call(const EventRecord& call) const {
    if (!secondary().hardware().complete_from(call.time)) return dropped();
    const Effects found = effects(call);
    const Instant returned = return_of(call);
    for (const auto& [act, what] :
         {std::pair{found.iotlb, "the IOTLB"}, std::pair{found.device, "the device TLB"}})
        if (act && act->time > returned)
            return fmt::format(
                "the driver did not wait: invalidate_range returned at {}, {} was "
                "invalidated at {}",
                text(returned), what, text(act->time));
    if (!found.iotlb || (has_tlb() && !found.device)) return not_invalidated(call, found);
    if (!has_tlb())
        return fmt::format(
            "the IOTLB was invalidated at {}, while the access that {} made through it was in "
            "flight",
            text(found.iotlb->time), agent());
    if (found.device->time < found.iotlb->time)
        return fmt::format("the device TLB of {} was invalidated at {}, before the IOTLB at {}",
                           agent(), text(found.device->time), text(found.iotlb->time));
    if (found.completion && found.completion->arguments[4] != 0)
        return fmt::format("{} completed the invalidation at {} while {} accesses were in flight",
                           agent(), text(found.completion->time), found.completion->arguments[4]);
    if (found.device->time > use().end.time)
        return fmt::format("{} invalidated at {}, {}", agent(), text(found.device->time),
                           after_end(found.device->time));
    if (use().access.filled >= found.device->time)
        return fmt::format(
            "filled at {} from the PTE that was cleared at {}, after {} had invalidated {} at {}",
            text(use().access.filled), text(clear().time), agent(),
            text(range_at(*found.device, 2)), text(found.device->time));
    return fmt::format("mis-tagged: {} invalidated {} at {} and kept the entry", agent(),
                       text(range_at(*found.device, 2)), text(found.device->time));
}

}  // namespace

std::unique_ptr<Examination> examine_device(const StaleUse& use, const Histories& histories,
                                            const ActorName& actor_name) {
    return std::make_unique<DeviceExamination>(use, histories, actor_name);
}

}  // namespace mmusim::platform
